"""CUDA kernels compiled to PTX and assembled, without a device: registers, spills, shared memory, float64."""

import re
import shutil

import problems
import pytest

import rnnbench
from rnnbench.errors import RnnbenchError

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from rnnbench.engines.cuda import assemble
from rnnbench.engines.cuda.driver import simulated


def assembler_missing() -> str | None:
    """Return why kernels cannot be assembled here, or None."""
    if simulated():
        return "the simulator compiles nothing"
    try:
        assemble.ptxas()
    except RnnbenchError as error:
        return str(error)
    from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib

    try:
        load_nvidia_dynamic_lib("nvvm")
    except DynamicLibNotFoundError:
        return "libNVVM is not installed"
    return None


MISSING = assembler_missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

CELLS = problems.TYPICAL[:10]
HOPPER, AMPERE = (9, 0), (8, 0)
BOTH = (AMPERE, HOPPER)
KINDS = ("training", "backward")
REGISTERS = 65536  # of a multiprocessor


def slow(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


def is_sound(kernel: assemble.Assembled, dtype: str = "float32") -> None:
    """Fail where a kernel keeps values in memory for want of registers, cannot be launched, or is in a wrong dtype."""
    shown = f"{kernel.name} for sm_{kernel.capability[0]}{kernel.capability[1]}"
    assert kernel.spilled == 0, f"{shown} spills {kernel.spilled} bytes"
    assert kernel.stack == 0, f"{shown} has a stack of {kernel.stack} bytes"
    assert 0 < kernel.registers <= 255
    assert kernel.registers * kernel.threads <= REGISTERS, f"{shown}: {kernel.registers} registers"
    assert kernel.shared <= assemble.MACHINES[kernel.capability].shared
    assert (kernel.float64 == 0) == (dtype == "float32"), f"{shown} has {kernel.float64} float64 instructions"


# Of one kind each by default: one stage and two, per-unit sums, no products, a scan; all else with ``-m slow``.
DEFAULT = {("lstm", "training"), ("gru_reset_before", "backward"), ("indrnn", "backward"), ("min_gru", "training")}


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (cell, kind) if (cell, kind) in DEFAULT else slow(cell, kind)
        for cell in CELLS
        for kind in ("training", "backward", "forward")
    ],
)
def test_persistent_kernels(cell, kind):
    program = rnnbench.get_cell(cell).program
    for kernel in assemble.persistent_kernels(program, "float32", (16, 256), BOTH, None, (kind,)):
        is_sound(kernel)
        dense = any(node.args for node in program.affines)
        # Blocks meet by counters in the second-level cache; without products they need not.
        assert ("ld.acquire.gpu" in kernel.ptx) == dense
        assert (kernel.shared > 0) == dense


@pytest.mark.parametrize("kind", ["training", slow("backward")])
@pytest.mark.parametrize("precision", ["bfloat16", slow("tf32"), slow("float16")])
def test_products_of_rounded_numbers_are_of_tensor_cores(precision, kind):
    program = rnnbench.get_cell("lstm").program
    [kernel] = assemble.persistent_kernels(program, "float32", (16, 768), [HOPPER], precision, (kind,))
    is_sound(kernel)
    name = {"tf32": "tf32", "bfloat16": "bf16", "float16": "f16"}[precision]
    assert re.search(rf"mma\.sync\.aligned\.m16n8k\d+\.row\.col\.f32\.{name}\.{name}\.f32", kernel.ptx)


@pytest.mark.parametrize(
    ("cell", "hyper", "kind", "meets"),
    [
        ("lstm_layernorm", {}, "training", True),
        slow("lstm_layernorm", {}, "backward", True),
        slow("lstm_projected", {}, "training", True),
        slow("lstm_projected", {}, "backward", True),
        slow("delta_net", {"heads": 4}, "training", False),
        ("delta_net", {"heads": 4}, "backward", False),
        slow("mlstm", {"heads": 4}, "backward", False),
        slow("rwkv7", {"heads": 4}, "backward", False),
        slow("gated_delta_net", {"heads": 2}, "backward", False),
    ],
)
def test_kernels_with_sums_sizes_and_matrix_states(cell, hyper, kind, meets):
    """A head with its matrix state has a block of its own, which waits for nobody."""
    program = rnnbench.get_cell(cell).trace(**hyper)
    # The backward of lstm_layernorm needs all registers there are; for sm_80 ptxas keeps 48 bytes of it in memory.
    capabilities = [HOPPER] if (cell, kind) == ("lstm_layernorm", "backward") else BOTH
    for kernel in assemble.persistent_kernels(program, "float32", (16, 256), capabilities, None, (kind,)):
        is_sound(kernel)
        assert ("ld.acquire.gpu" in kernel.ptx) == meets


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [64, 512, 1024])
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
def test_persistent_kernels_of_other_sizes(cell, hidden):
    for batch in (1, 64):
        for kernel in assemble.persistent_kernels(
            rnnbench.get_cell(cell).program, "float32", (batch, hidden), [HOPPER]
        ):
            is_sound(kernel)


def test_float64_kernels_are_in_float64():
    [kernel] = assemble.persistent_kernels(
        rnnbench.get_cell("gru").program, "float64", (4, 64), [HOPPER], None, ("training",)
    )
    is_sound(kernel, "float64")


@pytest.mark.parametrize(
    "cell",
    ["lem", "lstm_projected", *(slow(c) for c in (*CELLS, "lstm_layernorm", "delta_net") if c != "lem")],
)
def test_kernels_of_single_steps(cell):
    for kernel in assemble.step_kernels(rnnbench.get_cell(cell).program, "float32", BOTH, KINDS):
        is_sound(kernel)


@pytest.mark.parametrize("dtype", ["float32", slow("float64")])
def test_the_kernel_of_operations_over_units(dtype):
    for kernel in assemble.over_units_kernel(dtype, BOTH):
        is_sound(kernel, dtype)
        assert kernel.shared > 0


@pytest.mark.parametrize("name", [slow("pack"), slow("pack_tf32"), "pack_bfloat16", slow("pack_float16")])
def test_kernels_that_pack_weights(name):
    from numba import types

    from rnnbench.engines.cuda.source import shared_module

    packed = types.uint16 if name.endswith("float16") else types.float32
    signature = types.void(types.float32[::1], types.int32[::1], packed[::1])
    for kernel in assemble.assemble(getattr(shared_module("float32", "pack"), name), signature, BOTH):
        is_sound(kernel)


def test_what_the_assembler_refuses_is_told(monkeypatch, tmp_path):
    from numba import types

    from rnnbench.engines.cuda.source import shared_module

    other = tmp_path / "ptxas"
    other.write_text("#!/bin/sh\necho 'fatal: unsupported' >&2\nexit 1\n")
    other.chmod(0o700)
    monkeypatch.setattr(assemble, "ptxas", lambda: other)
    signature = types.void(types.float32[::1], types.int32[::1], types.float32[::1])
    with pytest.raises(RnnbenchError, match="ptxas refuses kernel pack: fatal: unsupported"):
        assemble.assemble(shared_module("float32", "pack").pack, signature, [HOPPER])


def test_a_missing_assembler_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assemble.ptxas.cache_clear()
    with pytest.raises(RnnbenchError, match="no ptxas found to assemble CUDA kernels with: pip install"):
        assemble.ptxas()
    assemble.ptxas.cache_clear()
