"""The CPU engine's kernels: their cache, their functions' accuracy, and what the compiled code contains."""

import math
import os
import re
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnnbench as rb
from rnnbench.engines.cpu import cache as kernel_cache
from rnnbench.engines.cpu.host import host
from rnnbench.lang.emit import cpu_source

RUN_LSTM = """
import numpy as np, rnnbench as rb
layer = rb.Layer("lstm", 3, 5, threads=1)
y, _ = layer.forward(np.ones((4, 2, 3), "float32"), training=True)
layer.backward(np.ones_like(y))
from rnnbench.engines.cpu import cache
import sys, importlib
package = cache.shared_kernels("float32").__name__
cells = [m for n, m in sys.modules.items() if n.startswith(package + ".cell_")]
hits = sum(k.callback._cache_hits for m in [*cells, importlib.import_module(package + ".sequence")]
           for k in vars(m).values() if hasattr(k, "callback"))
print(package, hits, float(abs(y).sum()))
"""


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    """A cache folder of its own that holds the LSTM, and the name of its package of kernels."""
    folder = tmp_path_factory.mktemp("kernels") / "cache"
    package, hits, _ = run(RUN_LSTM, RNNBENCH_CACHE_DIR=str(folder)).split()
    assert hits == "0"
    return folder, package


def test_a_second_process_compiles_nothing(warm_cache):
    folder, package = warm_cache
    again, hits, _ = run(RUN_LSTM, RNNBENCH_CACHE_DIR=str(folder)).split()
    assert again == package
    assert int(hits) >= 3


def test_the_cache_folder_is_private(warm_cache):
    folder, package = warm_cache
    for path in (folder, folder / package):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_an_emitted_file_that_somebody_edited_is_written_anew(warm_cache):
    folder, package = warm_cache
    [emitted] = (folder / package).glob("cell_lstm_*.py")
    text = emitted.read_text()
    emitted.write_text(text.replace("f * c", "i * c"))
    assert emitted.read_text() != text
    before = run(RUN_LSTM, RNNBENCH_CACHE_DIR=str(folder)).split()[2]
    assert emitted.read_text() == text
    assert before == run(RUN_LSTM, RNNBENCH_CACHE_DIR=str(folder)).split()[2]


@pytest.mark.parametrize("file", [p.name for p in (Path(kernel_cache.__file__).parent / "kernels").glob("*.py")])
def test_any_edit_of_a_shared_kernel_names_another_package(file, monkeypatch):
    name = kernel_cache.package_name("float32")
    sources = kernel_cache._sources("float32")
    monkeypatch.setattr(kernel_cache, "_sources", lambda dtype: sources | {file: sources[file] + "# edited\n"})
    assert kernel_cache.package_name("float32") != name


def test_other_compilers_machines_and_dtypes_have_other_packages(monkeypatch):
    names = {kernel_cache.package_name("float32"), kernel_cache.package_name("float64")}
    monkeypatch.setenv("NUMBA_OPT", "1")
    names.add(kernel_cache.package_name("float32"))
    monkeypatch.setattr(kernel_cache, "version", lambda package: "0.0")
    names.add(kernel_cache.package_name("float32"))
    assert len(names) == 4


def test_a_cells_file_is_addressed_by_its_equations():
    texts = {cpu_source(rb.get_cell(name).program) for name in rb.cells()}
    same = {"elman_relu", "irnn"}  # they differ in their initial values only, and in the name in the docstring
    assert len(texts) == len(rb.cells())
    bodies = {re.sub(r'^""".*?"""', "", cpu_source(rb.get_cell(name).program), flags=re.DOTALL) for name in same}
    assert len(bodies) == 1


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file to another user")
def test_a_cache_that_belongs_to_another_user_is_refused(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(rb.RnnbenchError, match="another user's"):
        kernel_cache._private(tmp_path)


def test_emitted_source_is_formatted_and_names_nothing_but_numba():
    for name in rb.cells():
        text = cpu_source(rb.get_cell(name).program)
        assert max(map(len, text.splitlines())) <= 120
        imported = re.findall(r"^(?:from|import) (\S+)", text, flags=re.MULTILINE)
        assert set(imported) <= {".compiled", ".functions", ".vector"}
        compile(text, name, "exec")


@cache
def llvm(name: str) -> str:
    """The optimised LLVM of all float32 tiles of a cell; compiled anew, since Numba shows none of cached code."""
    from numba import cfunc, types

    module = kernel_cache.cell_kernels(rb.get_cell(name).program, "float32")
    tiles = [k for k in vars(module).values() if type(k).__name__ == "Compiled"]
    signature = types.void(*[types.int64] * 5)
    return "\n".join(cfunc(signature, error_model="numpy")(tile.function).inspect_llvm() for tile in tiles)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "min_gru"])
def test_float32_kernels_contain_no_float64_operation(name):
    # A global string or a declared but unused helper is no operation: look at instructions only.
    instructions = [line for line in llvm(name).splitlines() if re.match(r"\s+(%\S+ = |store |call |ret )", line)]
    assert len(instructions) > 50
    assert not [line for line in instructions if re.search(r"\bdouble\b", line)]


def test_pointwise_arithmetic_is_in_whole_vectors():
    lanes = host().lanes(4)
    arithmetic = re.findall(r"= (?:contract )?f(?:add|sub|mul|div)[^\n]*", llvm("lstm"))
    assert len(arithmetic) > 20
    assert all(f"<{lanes} x float>" in line for line in arithmetic)


CHECK_FUNCTION = """
@kernel
def apply_{name}(source, target, count):
    for i in range(0, count, LANES):
        store(target, i * SIZE, {name}(load(source, i * SIZE)))
"""


@cache
def applied(name: str, dtype: str):
    """A function of the kernels, compiled for arrays whose length is a multiple of the vector's."""
    import ctypes
    import importlib

    package = kernel_cache.shared_kernels(dtype).__name__
    modules = [importlib.import_module(f"{package}.{m}") for m in ("compiled", "functions", "vector")]
    names: dict[str, Any] = {k: v for m in modules for k, v in vars(m).items()} | {"__name__": f"{package}.check"}
    exec(CHECK_FUNCTION.format(name=name).replace("@kernel", ""), names)
    from numba import cfunc, types

    compiled = cfunc(types.void(*[types.int64] * 3))(names[f"apply_{name}"])
    address = compiled.address
    assert address is not None
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)

    def run(x: np.ndarray) -> np.ndarray:
        padded = np.zeros(-(-len(x) // 64) * 64, dtype)
        padded[: len(x)] = x
        y = np.empty_like(padded)
        call(padded.ctypes.data, y.ctypes.data, len(padded))
        return y[: len(x)]

    run.compiled = compiled  # type: ignore[attr-defined]  # keeps the machine code alive
    return run


EXACT = {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "sqrt": np.sqrt}


def sample(name: str, dtype: str) -> np.ndarray:
    """Arguments over the whole range where the result is a normal number: even, geometric, and near zero."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    most = -math.log(float(info.tiny)) - 0.5
    spread = np.concatenate([np.linspace(-most, most, 40_000), rng.normal(0, 2, 40_000)])
    small = rng.choice([-1, 1], 20_000) * np.exp(rng.uniform(math.log(float(info.tiny)), 1, 20_000))
    x = np.concatenate([spread, small]).astype(dtype)
    return np.abs(x) if name == "sqrt" else x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "bound"), [("exp", 2), ("tanh", 3), ("sigmoid", 3), ("sqrt", 0.5)])
def test_functions_are_accurate_to_units_in_the_last_place(name, bound, dtype):
    x = sample(name, dtype)
    exact = EXACT[name](x.astype(np.longdouble))
    ulp = np.spacing(np.abs(exact).astype(dtype))
    error = np.abs(applied(name, dtype)(x).astype(np.longdouble) - exact) / ulp
    assert error.max() <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_at_the_ends_of_their_range(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    nan = np.nan
    for name, expected in {
        "exp": [1, 1, np.inf, 0, nan, np.inf, 0],
        "tanh": [0, -0.0, 1, -1, nan, 1, -1],
        "sigmoid": [0.5, 0.5, 1, 0, nan, 1, 0],
        "relu": [0, 0, np.inf, 0, nan, 1e30, 0],
    }.items():
        tiny = 4 * float(np.finfo(dtype).tiny)  # sigmoid(-inf) is the smallest number of its form, not 0
        np.testing.assert_allclose(applied(name, dtype)(x), np.array(expected, dtype), rtol=0, atol=tiny, err_msg=name)
    assert np.signbit(applied("tanh", dtype)(x)[1])


OTHER_WIDTH = """
import numpy as np, rnnbench as rb
from rnnbench.engines.cpu.host import host
rng = np.random.default_rng(0)
for name in ("lstm", "gru_reset_before"):
    for dtype in ("float32", "float64"):
        x = rng.normal(size=(5, 3, 4)).astype(dtype)
        results = []
        for engine in ("cpu", "reference"):
            layer = rb.Layer(name, 4, 19, engine=engine, dtype=dtype, seed=1)
            y, _ = layer.forward(x, training=True)
            results.append((y, layer.backward(np.ones_like(y))["R." + ("i" if name == "lstm" else "n")]))
        for fast, exact in zip(*results):
            assert np.abs(fast - exact).max() <= 200 * np.finfo(dtype).eps * max(1, np.abs(exact).max()), (name, dtype)
print(host().vector_bytes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("bits", [128, 256, 512])
def test_every_vector_width_of_the_host_agrees_with_the_reference(bits):
    if bits > host().vector_bytes * 8:
        pytest.skip(f"this processor has no {bits}-bit vectors")
    assert run(OTHER_WIDTH, RNNBENCH_VECTOR_BITS=str(bits)).strip() == str(bits // 8)
