"""What is said where CUDA kernels cannot run: one sentence for each reason, from what a driver answers."""

import ctypes
import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from rnnbench.engines.cuda import driver


class FakeDriver:
    """The functions of libcuda that are asked, with the answers of a machine."""

    def __init__(self, start=0, devices=1, capability=(9, 0), version=13000):
        self.start, self.devices, self.capability, self.version = start, devices, capability, version

    def cuInit(self, flags):
        return self.start

    def cuGetErrorName(self, code, name):
        name._obj.value = f"CUDA_ERROR_{code}".encode()
        return 0

    def cuDeviceGetCount(self, count):
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0

    def cuDeviceGet(self, device, index):
        return 0

    def cuDeviceGetName(self, name, length, device):
        name.value = b"NVIDIA H200"
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.capability[{75: 0, 76: 1}[attribute]]
        return 0


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this machine one with a driver, numba-cuda and a toolkit."""

    def make(library, numba_cuda=True, toolkit=13):
        import cuda.pathfinder

        class Compiler:
            def nvrtcVersion(self, major, minor):
                major._obj.value = toolkit
                return 0

        def load(name):
            if toolkit is None:
                raise cuda.pathfinder.DynamicLibNotFoundError(name)
            return SimpleNamespace(abs_path="libnvrtc")

        monkeypatch.setattr(driver, "_library", lambda: library)
        monkeypatch.setattr(cuda.pathfinder, "load_nvidia_dynamic_lib", load)
        monkeypatch.setattr(driver, "ctypes", SimpleNamespace(**{**vars(ctypes), "CDLL": lambda path: Compiler()}))
        known = importlib.util.find_spec
        hidden = SimpleNamespace(find_spec=lambda name: known(name) if numba_cuda else None)
        monkeypatch.setattr(driver, "importlib", SimpleNamespace(util=hidden))
        monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
        driver.missing.cache_clear()

    yield make
    driver.missing.cache_clear()


def test_a_machine_that_can(machine):
    machine(FakeDriver())
    assert driver.missing() is None
    assert driver.describe() == "NVIDIA H200, compute capability 9.0, driver for CUDA 13.0"


@pytest.mark.parametrize(
    ("library", "other", "said"),
    [
        (
            None,
            {},
            "no CUDA driver found: on a machine with an NVIDIA GPU install its driver (525 or later), then pip install "
            '"rnnbench[cuda]"',
        ),
        (FakeDriver(start=999), {}, "the CUDA driver does not start: CUDA_ERROR_999"),
        (FakeDriver(start=100, devices=0), {}, "the CUDA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)"),
        (FakeDriver(devices=0), {}, "the CUDA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)"),
        (FakeDriver(), {"numba_cuda": False}, 'numba-cuda is not installed: pip install "rnnbench[cuda]"'),
        (
            FakeDriver(capability=(7, 5)),
            {},
            "NVIDIA H200 has compute capability 7.5; the kernels need 8.0 or later",
        ),
        (
            FakeDriver(version=11080),
            {},
            "the CUDA driver knows CUDA 11.8; the kernels need a driver for CUDA 12 or later",
        ),
        (
            FakeDriver(version=12040),
            {},
            'the CUDA toolkit is for CUDA 13, but the driver knows CUDA 12.4: pip install "rnnbench[cuda12]"',
        ),
        (
            FakeDriver(),
            {"toolkit": None},
            'the CUDA toolkit\'s compiler (libNVVM and NVRTC) is not installed: pip install "rnnbench[cuda]"',
        ),
    ],
)
def test_what_is_missing_is_one_sentence(machine, library, other, said):
    machine(library, **other)
    assert driver.missing() == said


def test_an_older_driver_with_its_own_toolkit_will_do(machine):
    machine(FakeDriver(version=12040), toolkit=12)
    assert driver.missing() is None


def test_in_the_simulator_nothing_is_asked(machine, monkeypatch):
    machine(None)
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    assert driver.missing() is None


class FakeBlas:
    """cublasGemmEx as its manual says, on memory of the host: column-major, c = alpha op(a) op(b) + beta c."""

    def cublasCreate_v2(self, handle):
        return 0

    def cublasSetStream_v2(self, handle, stream):
        return 0

    def cublasGemmEx(self, handle, turn_a, turn_b, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute, algorithm):  # fmt: skip # noqa: E501
        kind = {0: np.float32, 1: np.float64}[a_type]
        assert a_type == b_type == c_type
        assert (compute, algorithm) == ({0: 68, 1: 70}[a_type], -1)

        def columns(place, leading, rows, count):
            if not rows * count:
                return np.zeros((rows, count))
            assert leading >= rows
            size = (count - 1) * leading + rows
            flat = np.ctypeslib.as_array((ctypes.c_byte * (size * kind().itemsize)).from_address(place.value)).view(
                kind
            )
            return np.lib.stride_tricks.as_strided(flat, (rows, count), (flat.itemsize, leading * flat.itemsize))

        first = columns(a, lda, *((k, m) if turn_a else (m, k)))
        second = columns(b, ldb, *((n, k) if turn_b else (k, n)))
        product = (first.T if turn_a else first) @ (second.T if turn_b else second)
        result = columns(c, ldc, m, n)
        # With beta = 0 what was there is not read: it may be anything.
        result[...] = alpha._obj.value * product + (beta._obj.value * result if beta._obj.value else 0.0)
        return 0


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(1, 1, 1), (3, 4, 5), (1, 4, 3), (4, 1, 3), (3, 4, 1)])
def test_cublas_is_asked_for_what_the_tables_say(rows, columns, depth, dtype, keep):
    from rnnbench.engines.cuda.products import Blas, Matrix, Target

    rng = np.random.default_rng(0)
    a, b, c = (
        rng.normal(size=n).astype(dtype) for n in (1 + 2 * rows * depth, 2 * depth * columns, 3 + 2 * rows * columns)
    )
    a1, a2 = a[1:][: rows * depth].reshape(rows, depth), a[1 + rows * depth :].reshape(depth, rows).T
    b1, b2 = b[: depth * columns].reshape(depth, columns), b[depth * columns :].reshape(columns, depth).T
    terms = (
        (Matrix(0, depth), Matrix(0, columns), depth),
        (Matrix(rows * depth, rows).flipped, Matrix(depth * columns, depth).flipped, depth),
    )
    expected = c.astype(float)
    table = expected[3:].reshape(rows, 2 * columns)[:, columns:]
    table[...] = (table if keep else 0.0) + a1.astype(float) @ b1 + a2.astype(float) @ b2
    where = a.ctypes.data + a.itemsize, b.ctypes.data, c.ctypes.data
    Blas(FakeBlas()).form(Target(Matrix(3 + columns, 2 * columns), rows, columns, terms), where, dtype, 0, keep)  # type: ignore[arg-type]
    assert np.abs(c - expected).max() <= 20 * np.finfo(dtype).eps * np.abs(expected).max()


def test_cublas_clears_a_target_without_terms():
    from rnnbench.engines.cuda.products import Blas, Matrix, Target

    c = np.full(6, np.nan)
    Blas(FakeBlas()).form(Target(Matrix(1, 2), 2, 2, ()), (0, 0, c.ctypes.data), "float64", 0, False)  # type: ignore[arg-type]
    assert np.array_equal(c, [np.nan, 0, 0, 0, 0, np.nan], equal_nan=True)


def test_a_failure_of_cublas_is_said():
    from rnnbench import RnnbenchError
    from rnnbench.engines.cuda.products import Blas

    broken = SimpleNamespace(cublasCreate_v2=lambda handle: 1)
    with pytest.raises(RnnbenchError, match="cublasCreate_v2 of cuBLAS ends with status 1"):
        Blas(broken)  # type: ignore[arg-type]
