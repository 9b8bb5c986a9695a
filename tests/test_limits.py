"""Limits of the machine: kernels that do what they count, caches as the system tells them, records that say how."""

import functools
import importlib
import json
import math
import re
import threading

import numpy as np
import pytest
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.engines.cpu.cache import shared_kernels
from rnnbench.engines.cpu.caches import Cache, data_caches, sysfs_caches
from rnnbench.engines.cpu.host import host
from rnnbench.engines.cpu.kernels.limit_sizes import CHAINS, SUMS
from rnnbench.engines.cpu.memory import aligned
from rnnbench.errors import RnnbenchError
from rnnbench.measure import limits, machine_limits, time_contenders
from rnnbench.measure.limit_contender import FMA, GEMM, PreparedLimit, is_limit, limit_flops
from rnnbench.measure.limits import c_function, together, working_sets

KIB, MIB = 1 << 10, 1 << 20
SMALL = (Cache(1, 32 * KIB, 1), Cache(2, 256 * KIB, 2))


@pytest.fixture(scope="module")
def record():
    """Return a record that was measured in bursts of a millisecond, as if this machine had small caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "data_caches", lambda: (SMALL, "sysfs"))
        return machine_limits(threads=2, seconds=0.0, burst_seconds=1e-3, gemm_size=64)


def _zeros(size: int) -> np.ndarray:
    return aligned((size,), np.dtype(np.uint8), zero=True)


def test_every_quantity_has_samples_a_unit_and_its_threads(record):
    assert (record["kind"], record["schema"], record["threads"], record["dtype"]) == ("limits", 1, 2, "float32")
    told = [(row["quantity"], row["level"], row["threads"], row["unit"]) for row in record["limits"]]
    reads = [("read", level, threads, "B/s") for level in ("L1", "L2", "memory") for threads in (1, 2)]
    assert told == [
        ("fma", None, 1, "FLOP/s"),
        ("fma", None, 2, "FLOP/s"),
        ("fma_latency", None, 1, "s"),
        ("gemm", None, 2, "FLOP/s"),
        *reads,
    ]
    for row in record["limits"]:
        assert len(row["samples"]) == 3
        assert all(math.isfinite(sample) and sample > 0 for sample in row["samples"])
        assert row["median"] == sorted(row["samples"])[1]
        assert row["best"] == (min if row["unit"] == "s" else max)(row["samples"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_rates_are_in_whole_units(record):
    """No machine that runs this does a multiply-add in under 0.1 ns or over 10 µs: a wrong unit is out by 1000."""
    best = {(row["quantity"], row["threads"]): row["best"] for row in record["limits"] if row["level"] is None}
    assert 1e-10 < best["fma_latency", 1] < 1e-5
    assert 1e7 < best["fma", 1] < 1e12
    assert 1e7 < best["fma", 2] < 2e12
    reads = [row["best"] for row in record["limits"] if row["quantity"] == "read"]
    assert all(1e6 < rate < 1e13 for rate in reads)


def test_one_thread_is_measured_once(monkeypatch):
    monkeypatch.setattr(limits, "data_caches", lambda: (SMALL, "sysfs"))
    quantities = limits._quantities(1, "float64", SMALL, 64)
    assert {one.facts["threads"] for one in quantities} == {1}
    assert len(quantities) == 6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "chains"), [("multiply_adds", None), ("dependent_multiply_adds", 1)])
def test_multiply_adds_compute_what_is_counted(dtype, name, chains):
    chains = chains or CHAINS[host().registers]
    block = _zeros((chains + 2) * host().vector_bytes)
    values = block.view(dtype).reshape(chains + 2, -1)
    rng = np.random.default_rng(0)
    values[...] = rng.integers(-4, 5, values.shape)
    values[chains] = 0.5
    expected = values[:chains].copy()
    for _ in range(7):
        expected = expected * values[chains] + values[chains + 1]  # exact: few bits are in use
    c_function(dtype, name, 2)(7, block.ctypes.data)
    np.testing.assert_array_equal(values[:chains], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("turns", "passes"), [(1, 1), (3, 1), (2, 5)])
def test_every_byte_is_read_in_every_pass(dtype, turns, passes):
    whole = {"float32": np.uint32, "float64": np.uint64}[dtype]
    turn = SUMS * host().vector_bytes
    block, totals = _zeros(turns * turn), _zeros(turn)
    block[...] = np.random.default_rng(0).integers(0, 256, block.size)
    c_function(dtype, "read", 4)(block.ctypes.data, block.size, passes, totals.ctypes.data)
    expected = block.view(whole).reshape(turns, -1).sum(axis=0, dtype=whole) * whole(passes)
    np.testing.assert_array_equal(totals.view(whole), expected)


@pytest.mark.skipif("+fma" not in host().features.split(","), reason="reads the assembly of x86 with FMA")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chains_stay_in_registers(dtype):
    loops = inner_loops(dtype, "multiply_adds")
    assert max(len(re.findall(r"\tvfmadd\w+p[sd]\s", loop)) for loop in loops) >= CHAINS[host().registers]
    assert not any("(%rsp)" in loop or "(%rbp)" in loop for loop in loops)
    reads = inner_loops(dtype, "read")
    assert max(len(re.findall(r"\tvpadd[dq]\s+\d*\(%r", loop)) for loop in reads) >= SUMS


def inner_loops(dtype, name):
    """Return the assembly of the blocks of a kernel that jump back to their own beginning."""
    package = shared_kernels(dtype).__name__
    compiled, kernels = (importlib.import_module(f"{package}.{module}") for module in ("compiled", "limits"))
    assembly = compiled._codegen()._tm.emit_assembly(getattr(kernels, name).module("loop"))
    blocks = re.findall(r"^(\.LBB\d+_\d+):\n((?:\t.*\n)+)", assembly, re.MULTILINE)
    return [body for label, body in blocks if re.search(rf"\tj\w+\t{re.escape(label)}\n", body)]


def test_threads_run_side_by_side():
    met, seen = threading.Barrier(3, timeout=30), []

    def meet(number):
        met.wait()  # returns only when all three are inside
        seen.append((number, threading.get_ident()))

    assert together([functools.partial(meet, number) for number in range(3)], 3) > 0
    assert sorted(number for number, _ in seen) == [0, 1, 2]
    assert len({thread for _, thread in seen}) == 3


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_all_pieces(threads):
    done = []
    together([functools.partial(done.append, number) for number in range(threads)], 11)
    assert len(done) == 11


@pytest.mark.parametrize(
    ("caches", "threads", "expected"),
    [
        # a virtual machine with two cores of a large processor
        (
            (Cache(1, 48 * KIB, 1), Cache(2, 2 * MIB, 1), Cache(3, 105 * MIB, 2)),
            2,
            {"L1": 24 * KIB, "L2": MIB, "L3": 105 * MIB // 4, "memory": 210 * MIB},
        ),
        # all of it: a core's share of the last cache is smaller than its second level
        (
            (Cache(1, 48 * KIB, 1), Cache(2, 2 * MIB, 1), Cache(3, 105 * MIB, 56)),
            56,
            {"L1": 24 * KIB, "L2": MIB, "L3": 4 * MIB, "memory": (1 << 30) // 56 // KIB * KIB},
        ),
        (
            (Cache(1, 32 * KIB, 1), Cache(2, 512 * KIB, 1)),
            1,
            {"L1": 16 * KIB, "L2": 256 * KIB, "memory": 2 * MIB},
        ),
    ],
)
def test_working_sets_lie_in_the_level_that_they_measure(caches, threads, expected, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 64 << 30}))
    assert working_sets(caches, threads) == expected


def write_sysfs(folder, *caches):
    for index, (level, kind, size, sharing) in enumerate(caches):
        place = folder / f"index{index}"
        place.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", sharing)):
            if text is not None:
                (place / name).write_text(f"{text}\n")
    return folder


def test_linux_tells_caches_and_who_shares_them(tmp_path):
    folder = write_sysfs(
        tmp_path,
        (1, "Data", "32K", "0,8"),
        (1, "Instruction", "64K", "0,8"),
        (2, "Unified", "1024K", "0,8"),
        (3, "Unified", "32M", "0-3,8-11"),
    )
    assert sysfs_caches(folder) == (Cache(1, 32 * KIB, 1), Cache(2, MIB, 1), Cache(3, 32 * MIB, 4))
    assert sysfs_caches(folder)[2].share == 8 * MIB
    assert [cache.name for cache in sysfs_caches(folder)] == ["L1", "L2", "L3"]


def test_linux_may_tell_less(tmp_path):
    assert sysfs_caches(tmp_path / "nowhere") == ()
    folder = write_sysfs(tmp_path, (1, "Data", "32K", None), (2, "Unified", None, None))
    assert sysfs_caches(folder) == (Cache(1, 32 * KIB, 1),)


def test_this_machine_has_caches_that_grow_outwards():
    caches, told_by = data_caches()
    assert told_by in ("sysfs", "sysctl", "sysconf", "assumed")
    assert [cache.level for cache in caches] == sorted({cache.level for cache in caches})
    assert all(inner.size < outer.size for inner, outer in zip(caches, caches[1:], strict=False))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"threads": 0}, "threads must be at least 1"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"gemm_size": 0}, "gemm_size must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence):
    with pytest.raises(RnnbenchError, match=sentence):
        machine_limits(**arguments)


def test_doctor_measures_limits_when_asked(record, monkeypatch):
    monkeypatch.setattr("rnnbench.measure.machine_limits", lambda: record)
    monkeypatch.setattr("rnnbench.peers.peers", dict)  # asking for them loads them
    shown = CliRunner().invoke(app, ["doctor", "--limits"])
    assert shown.exit_code == 0, shown.output
    assert "Limits, median (best) of 3 samples, float32" in shown.stdout
    for text in ("multiply-adds in registers", "matrix product, 64 × 64", "reads from L1, 16.0 KiB", "2 threads"):
        assert text in shown.stdout
    assert "20 seconds" in shown.stderr


def test_limits_take_turns_with_contenders():
    contenders = ["rnnbench.reference", FMA]
    records = time_contenders("lstm", (6, 3, 4, 5), contenders, samples=2, threads=1)
    assert [record["contender"] for record in records] == contenders
    assert [record["check"] is None for record in records] == [False, True]
    assert all(len(record["samples"]) == 2 for record in records)


@pytest.mark.parametrize("limit", [GEMM, FMA])
def test_a_limit_computes_no_cell(limit, monkeypatch):
    monkeypatch.setattr("rnnbench.measure.limit_contender.GEMM_SIZE", 32)
    prepared = PreparedLimit(limit, "float32", 1)
    with pytest.raises(RnnbenchError, match=f"{limit} computes no cell"):
        prepared.training(np.zeros(1), np.zeros(1))
    assert prepared.timed(np.zeros(1), np.zeros(1))() > 0  # type: ignore[operator]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_call_of_a_limit_has_the_operations_it_is_said_to_have(dtype, monkeypatch):
    done = []
    monkeypatch.setattr(limits.MultiplyAdds, "run", lambda self, *work: done.append((*work, self.flops_per_round)))
    PreparedLimit(FMA, dtype, 2).timed(np.zeros(1), np.zeros(1))()
    assert [math.prod(work) for work in done] == [limit_flops(FMA, 2)]
    assert limit_flops(FMA, 2) == 2 * limit_flops(FMA, 1)
    assert limit_flops(GEMM, 1) == limit_flops("limit.gemm#2", 2) == 2 * 2048**3
    assert [is_limit(name) for name in (GEMM, "limit.fma#2", "rnnbench.cpu", "torch")] == [True, True, False, False]
    with pytest.raises(RnnbenchError, match="unknown limit 'limit.gem'; did you mean limit.gemm"):
        limit_flops("limit.gem", 1)
