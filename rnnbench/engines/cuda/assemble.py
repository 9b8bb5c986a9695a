"""Kernels compiled and assembled without a device: what the machine code will need, and what is in it.

numba-cuda compiles to PTX with libNVVM, NVIDIA's ptxas assembles that. Both come with the CUDA toolkit's wheels.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from rnnbench.engines.cuda.persistent_loop import emitter
from rnnbench.engines.cuda.source import cell_module, shared_module
from rnnbench.engines.cuda.tiling import Machine, choose
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.emit_cuda import arguments as step_arguments
from rnnbench.lang.emit_cuda import cuda_source, is_pointwise, numbers
from rnnbench.lang.emit_loops import arguments
from rnnbench.lang.exchange import is_exchanging
from rnnbench.lang.recurrent_products import tiles_of
from rnnbench.lang.resident import ITEMSIZE

# Multiprocessors and shared memory of one block, of the GPUs that kernels are assembled for: A100 and H100.
MACHINES: dict[tuple[int, int], Machine] = {
    (8, 0): Machine(108, 163 * 1024, 512),
    (9, 0): Machine(132, 227 * 1024, 512),
}

Capability = tuple[int, int]
KINDS = ("forward", "training", "backward")

_DIMENSIONS = {
    "slots": 4, "states": 4, "saved": 4, "carried": 4, "d_states": 4, "d_units": 4, "units": 2, "y": 3, "dy": 3,
    "composed": 4, "weights": 1, "published": 1, "counters": 1, "sums": 1, "matrices": 4, "d_matrices": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Assembled:
    """One kernel's machine code: ``registers`` of a thread, bytes ``spilled`` by it and of its ``stack``, bytes of
    ``shared`` memory that the launch asks for, ``threads`` of a block, and ``float64`` instructions.
    """

    name: str
    capability: Capability
    registers: int
    spilled: int
    stack: int
    shared: int
    threads: int
    float64: int
    ptx: str


@cache
def ptxas() -> Path:
    """Return the assembler: that of the toolkit's wheels, else the one on the PATH; raises RnnbenchError."""
    import importlib.util

    wheel = importlib.util.find_spec("nvidia")
    for folder in wheel.submodule_search_locations or [] if wheel else []:
        found = sorted(Path(folder).glob("*/bin/ptxas*"))
        if found:
            return found[-1]
    on_path = shutil.which("ptxas")
    if on_path is None:
        raise RnnbenchError('no ptxas found to assemble CUDA kernels with: pip install "cuda-toolkit[nvcc]"')
    return Path(on_path)


@contextmanager
def _pretended_device(capability: Capability) -> Iterator[None]:
    """Have functions that a kernel calls compiled for a device that is not there."""
    device = SimpleNamespace(compute_capability=capability)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        yield


def assemble(
    kernel: Any, signature: Any, capabilities: Sequence[Capability], shared: int = 0, threads: int = 0
) -> list[Assembled]:
    """Compile a kernel once, and assemble it for each compute capability; raises RnnbenchError with what ptxas says."""
    # numba-cuda's own compile_ptx is this for one capability: it would translate the function anew for each.
    from numba.cuda.compiler import _compile_pyfunc_with_fixup  # pyright: ignore[reportAttributeAccessIssue]

    bounds = kernel.targetoptions.get("launch_bounds")
    with _pretended_device(capabilities[0]):
        library, _ = _compile_pyfunc_with_fixup(
            kernel.py_func, signature, device=False, abi="numba", cc=capabilities[0], launch_bounds=bounds
        )
    name = kernel.py_func.__name__
    return [_assembled(name, library.get_asm_str(cc=c), c, shared, threads) for c in capabilities]


def _assembled(name: str, ptx: str, capability: Capability, shared: int, threads: int) -> Assembled:
    """Return what ptxas says of a kernel's PTX."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [str(ptxas()), "-v", f"-arch=sm_{capability[0]}{capability[1]}", source.name, "-o", "kernel.cubin"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RnnbenchError(f"ptxas refuses kernel {name}: {done.stderr.strip()[:500]}")

    def number(pattern: str) -> int:
        found = re.search(pattern, done.stderr)
        return int(found.group(1)) if found else 0

    return Assembled(
        name,
        capability,
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        number(r"(\d+) bytes stack frame"),
        shared or number(r"(\d+) bytes smem"),
        threads,
        len(re.findall(r"^\s*(?:@%p\d+ )?[a-z.0-9]+\.f64[. ]", ptx, flags=re.MULTILINE)),
        ptx,
    )


def _types(names: tuple[str, ...], dtype: str, held: str) -> Any:
    """Return a kernel's signature: ``held`` is the type of packed weights and of what is published."""
    from numba import types

    kinds = dict.fromkeys(_DIMENSIONS, dtype) | {"weights": held, "published": held, "counters": "int64"}

    def of(name: str) -> Any:
        if name not in _DIMENSIONS:
            return types.int64
        return types.Array(getattr(types, kinds[name]), _DIMENSIONS[name], "C")

    return types.void(*(of(name) for name in names))


def persistent_kernels(
    program: Program,
    dtype: str,
    sizes: tuple[int, int],
    capabilities: Sequence[Capability],
    precision: str | None = None,
    kinds: Sequence[str] = KINDS,
) -> list[Assembled]:
    """Return the machine code of engine cuda's kernels of a program for ``sizes`` (B, H), as the first GPU has them."""
    multiplied, found = precision or dtype, []
    held = {2: "uint16", 4: "float32", 8: "float64"}[ITEMSIZE[multiplied]]
    batch, hidden = sizes
    for kind in kinds:
        shape, shared, threads = None, 0, 0
        if is_exchanging(program):
            tiling = choose(program, kind, hidden, batch, multiplied, MACHINES[capabilities[0]])
            if isinstance(tiling, str):
                raise RnnbenchError(f"{program.name} at H={hidden} does not fit: {tiling}")
            shape, shared, threads = tiling.shape, tiling.shared_bytes, tiling.shape.threads
        module = cell_module(program, dtype, emitter(kind, shape))
        signature = _types(arguments(program, kind), dtype, held)
        # Of a scan there are kernels more.
        for name in ("compose", kind, "finish"):
            if hasattr(module, name):
                found += assemble(getattr(module, name), signature, capabilities, shared, threads)
    return found


def step_kernels(
    program: Program, dtype: str, capabilities: Sequence[Capability], kinds: Sequence[str] = KINDS
) -> list[Assembled]:
    """Return the machine code of engine cuda_steps' kernels of a program."""
    module, found = cell_module(program, dtype, cuda_source), []
    for kind in kinds:
        for tile in filter(is_pointwise, tiles_of(program, kind)):
            signature = _types((*step_arguments(tile), *numbers(program, tile)), dtype, dtype)
            found += assemble(getattr(module, tile.name), signature, capabilities)
    return found


def over_units_kernel(dtype: str, capabilities: Sequence[Capability]) -> list[Assembled]:
    """Return the machine code of engine cuda_steps' operations over units, which all programs share."""
    from numba import types

    threads = shared_module(dtype, "launch").UNIT_THREADS
    values, count = types.Array(getattr(types, dtype), 1, "C"), types.int64
    signature = types.void(types.Array(count, 2, "C"), *[values] * 3, *[count] * 3)
    shared = threads * ITEMSIZE[dtype]
    return assemble(shared_module(dtype, "over_units").over_units, signature, capabilities, shared, threads)
