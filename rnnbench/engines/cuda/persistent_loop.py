"""The time loop of engine cuda: one launch for all steps, its tables and what it holds on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
from numba import cuda

from rnnbench.engines.cuda import driver
from rnnbench.engines.cuda.products import launch
from rnnbench.engines.cuda.run import Memory
from rnnbench.engines.cuda.source import cell_module, shared_module
from rnnbench.engines.cuda.tiling import Machine, Tiling, choose
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.emit_cuda import vectors
from rnnbench.lang.emit_lanes import composed_values
from rnnbench.lang.emit_loops import arguments, is_scan
from rnnbench.lang.emit_persistent import persistent_source
from rnnbench.lang.exchange import exchange, is_exchanging
from rnnbench.lang.resident import DEPTHS, ITEMSIZE, Shape

# Of the pre-activations of inference, which are formed so many steps ahead; a launch runs these steps.
AHEAD_BYTES = 1 << 30
# Threads of a block where each takes one unit of one row: small blocks, so that few lanes use many multiprocessors.
LANE_THREADS = 64
# Steps that are composed run in chunks of so many at least, and in so many chunks at least or in one; there are as many
# as give each multiprocessor so many threads.
CHUNK_STEPS, LEAST_CHUNKS, LANES_OF_PROCESSOR = 16, 4, 1024
COUNTER_STRIDE = 16  # as in kernels/primitives.py
PLANS_KEPT = 8  # tilings, each with its packed weights, of the latest batch sizes


@cache
def machine() -> Machine:
    """Return the GPU in use, or what the simulator stands for."""
    if driver.simulated():
        from rnnbench.engines.cuda.simulator import MACHINE

        return MACHINE
    device = cuda.get_current_device()
    return Machine(
        device.MULTIPROCESSOR_COUNT, device.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, min(512, device.MAX_THREADS_PER_BLOCK)
    )


@lru_cache(maxsize=512)
def emitter(kind: str, shape: Shape | None) -> Callable[[Program], str]:
    """Return the function that writes a program's kernel of this kind and shape; the same for the same."""
    return lambda program: persistent_source(program, kind, shape)


def weight_places(program: Program, kind: str, shape: Shape, hidden: int) -> np.ndarray:
    """Return for every value of all blocks' packed weights where it lies in R, the matrices one behind the other, or -1
    for a zero.

    A block's weights are, for each product and operand, ``[chunk][column][depth]``.
    """
    starts, end = {}, 0
    for name in (name for name in program.params if name.startswith("R.")):
        starts[name] = end
        end += prod(program.shape(name, 1, hidden))
    depth, shown, blocks = DEPTHS[shape.precision], exchange(program, kind), []
    for part, block in np.ndindex(shape.parts, shape.blocks):
        for product, spread in zip(shown.products, shape.spreads, strict=True):
            width = shape.width(product.size)
            inner = np.arange(spread.splits * spread.rounds * depth).reshape(-1, 1, depth)
            column = np.arange(spread.columns).reshape(1, -1, 1)
            result, unit = column // width.units, block * width.units + column % width.units
            for names, size in zip(product.matrices, product.inner, strict=True):
                count = shape.width(size).count
                inside = (inner < count) & (unit < width.count) & (result < len(names))
                which = np.minimum(result, len(names) - 1)
                start = np.array([starts[name] for name in names])[which]
                columns = np.array([program.shape(name, 1, hidden)[1] for name in names])[which]
                own, other = part * width.count + unit, part * count + inner
                place = start + (own * columns + other if product.transposed else other * columns + own)
                blocks.append(np.where(inside, place, -1).astype(np.int32).ravel())
    return np.concatenate(blocks) if blocks else np.full(1, -1, np.int32)


@dataclass
class Plan:
    """A kernel with its tiling for one batch size, and what it holds on the device."""

    kernel: Any
    tiling: Tiling
    places: Any
    packed: Any
    published: Any
    sums: Any
    counters: Any
    packs: bool = True  # whether the weights have to be packed before the next launch
    ready: bool = False  # whether the kernel is compiled, and allowed what it needs


class PersistentLoop:
    """Runs all steps of one program, dtype and H in one launch."""

    def __init__(self, program: Program, dtype: str, hidden: int, precision: str | None = None, heads: int = 1) -> None:
        """Prepare; ``heads`` is the number of blocks on the diagonal of all recurrent matrices."""
        self.program, self.dtype, self.hidden, self.heads = program, dtype, hidden, heads
        self.precision = precision or dtype
        self.exchanges = is_exchanging(program)
        self._vectors = vectors(program)
        self._plans: dict[tuple[str, int], Plan] = {}
        self._composed: dict[str, Any] = {}
        self._over_values = shared_module(dtype, "launch").over_values
        for kind in ("forward", "training", "backward") if self.exchanges else ():
            self._tiling(kind, 1)

    def _tiling(self, kind: str, B: int) -> Tiling:
        """Return the tiling for B rows; raises RnnbenchError where there is none."""
        found = choose(self.program, kind, self.hidden, B, self.precision, machine(), self.heads)
        if isinstance(found, str):
            raise RnnbenchError(
                f"engine 'cuda' cannot hold {self.program.name} at H={self.hidden}: {found}; use engine 'cuda_steps'"
            )
        return found

    def chunk(self, T: int, B: int, training: bool) -> int:
        """Return for how many steps pre-activations are formed at once."""
        step = B * len(self._vectors["slots"]) * self.hidden * np.dtype(self.dtype).itemsize
        return T if training else max(1, min(T, AHEAD_BYTES // max(1, step)))

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes of device memory that the loop itself holds."""
        kinds = ("training", "backward") if training else ("forward",)
        if not self.exchanges:
            scans = [kind for kind in kinds if is_scan(self.program, kind)]
            chunks = self._chunks(B, self.chunk(T, B, training))
            size = np.dtype(self.dtype).itemsize
            each = [chunks * B * composed_values(self.program, k) * self.hidden if chunks > 1 else 1 for k in scans]
            return sum(each) * size
        total = 0
        for kind in kinds:
            tiling = self._tiling(kind, B)
            weights, values, sums, counters = self._sizes(kind, B, tiling)
            of_sum = np.dtype(self.dtype).itemsize
            total += weights * 4 + (weights + values) * ITEMSIZE[self.precision] + sums * of_sum + counters * 8
        return total

    def _sizes(self, kind: str, B: int, tiling: Tiling) -> tuple[int, int, int, int]:
        """Return the packed weights of all blocks, the values and the sums that are published, and the counters."""
        shape, shown = tiling.shape, exchange(self.program, kind)
        waves = -(-B // (shape.rows * tiling.groups))
        rows = shape.parts * shape.rows * tiling.groups * waves if shape.blocks > 1 else 0
        values, sums = len(shown.operands) * shape.depth, shape.published_sums(shown)[-1]
        weights, gangs = shape.parts * shape.blocks * shape.weights(shown)[-1], shape.parts * tiling.groups
        counters = gangs * COUNTER_STRIDE if shape.blocks > 1 else 1
        return max(1, weights), max(1, 2 * rows * values), max(1, 2 * rows * sums), counters

    def weights_changed(self) -> None:
        """Have every plan pack the weights again."""
        for plan in self._plans.values():
            plan.packs = True

    def forward(self, memory: Memory, start: int, steps: int) -> None:
        """Run ``steps`` steps from step ``start`` on."""
        kind = "training" if memory.training else "forward"
        self._run(kind, memory, {"start": start, "steps": steps, "total": memory.T})

    def backward(self, memory: Memory) -> None:
        """Run all steps, last step first."""
        self._run("backward", memory, {})

    def _run(self, kind: str, memory: Memory, numbers: dict[str, int]) -> None:
        given: dict[str, Any] = {**memory.arrays, **numbers}
        if not self.exchanges:
            self._run_lanes(kind, memory, numbers.get("steps", memory.T), given)
            return
        plan = self._plan(kind, memory.B)
        if plan.packs:
            self._pack(plan, memory)
        given |= {"weights": plan.packed, "published": plan.published, "sums": plan.sums, "counters": plan.counters}
        self._launch(plan, [given[n] for n in arguments(self.program, kind)], memory.stream)

    def _run_lanes(self, kind: str, memory: Memory, steps: int, given: dict[str, Any]) -> None:
        """Run a program without products: every thread takes one unit of one row through the steps of a chunk."""
        module = cell_module(self.program, self.dtype, emitter(kind, None))
        lanes = memory.B * self.hidden
        blocks, threads = self._over_values(lanes)
        if not driver.simulated():
            blocks, threads = -(-lanes // LANE_THREADS), LANE_THREADS
        names = arguments(self.program, kind)
        chunks = 1
        if "composed" in names:
            chunks = self._chunks(memory.B, steps)
            given["composed"] = self._composed_of(kind, memory.B, chunks)
        arrays = [given[name] for name in names]
        if chunks > 1:
            launch(module.compose, (blocks, chunks - 1), threads, memory.stream)(*arrays)
        launch(getattr(module, kind), (blocks, chunks), threads, memory.stream)(*arrays)
        if chunks > 1 and hasattr(module, "finish"):
            launch(module.finish, blocks, threads, memory.stream)(*arrays)

    def _chunks(self, B: int, steps: int) -> int:
        """Return into how many chunks so many steps are cut where they can be composed: enough threads for the GPU."""
        wanted = -(-machine().processors * LANES_OF_PROCESSOR // (B * self.hidden))
        found = min(wanted, steps // CHUNK_STEPS)
        if found < LEAST_CHUNKS:  # composing reads everything once more
            return 1
        # None is empty: the last one writes the final states.
        return -(-steps // -(-steps // found))

    def _composed_of(self, kind: str, B: int, chunks: int) -> Any:
        """Return memory for what chunks hand on."""
        shape = (chunks, B, composed_values(self.program, kind), self.hidden) if chunks > 1 else (1, 1, 1, 1)
        if self._composed.get(kind) is None or self._composed[kind].shape != shape:
            self._composed[kind] = cuda.device_array(shape, np.dtype(self.dtype))  # pyright: ignore[reportArgumentType]
        return self._composed[kind]

    def _plan(self, kind: str, B: int) -> Plan:
        """Return the plan for B rows, made on first use."""
        if (kind, B) not in self._plans:
            while len(self._plans) >= PLANS_KEPT:
                self._plans.pop(next(iter(self._plans)))
            tiling = self._tiling(kind, B)
            module = cell_module(self.program, self.dtype, emitter(kind, tiling.shape))
            _, values, sums, counters = self._sizes(kind, B, tiling)
            held = {2: np.uint16, 4: np.float32, 8: np.float64}[ITEMSIZE[self.precision]]
            places = weight_places(self.program, kind, tiling.shape, self.hidden)
            self._plans[kind, B] = Plan(
                getattr(module, kind),
                tiling,
                cuda.to_device(places),
                cuda.device_array(places.size, held),
                # Zero where rows and units are only there to fill up: nobody writes those.
                cuda.to_device(np.zeros(values, held)),
                cuda.to_device(np.zeros(sums, self.dtype)),
                cuda.to_device(np.zeros(counters, np.int64)),
            )
        return self._plans[kind, B]

    def _pack(self, plan: Plan, memory: Memory) -> None:
        """Bring the recurrent weights into the order in which the blocks hold them."""
        suffix = "" if self.precision == self.dtype else f"_{self.precision}"
        kernel = getattr(shared_module(self.dtype, "pack"), f"pack{suffix}")
        blocks, threads = self._over_values(plan.packed.size)
        launch(kernel, blocks, threads, memory.stream)(memory.flat["R"], plan.places, plan.packed)
        plan.packs = False

    def _launch(self, plan: Plan, given: list[Any], stream: Any) -> None:
        shape, shared = plan.tiling.shape, plan.tiling.shared_bytes
        grid = shape.blocks, plan.tiling.groups, shape.parts
        if driver.simulated():
            from rnnbench.engines.cuda.simulator import launch_simulated

            launch_simulated(plan.kernel, grid, shape.threads, shared, given, together=shape.blocks > 1)
            return
        if not plan.ready:
            make_ready(plan.kernel, given, prod(grid) if shape.blocks > 1 else None, shape.threads, shared)
            plan.ready = True
        launch(plan.kernel, grid, shape.threads, stream, shared)(*given)


def make_ready(kernel: Any, given: Sequence[Any], blocks: int | None, threads: int, shared: int) -> None:
    """Compile a kernel for these arguments, and allow it its shared memory.

    With ``blocks``, so many wait for one another: the driver then starts all of them together or none. Raises
    RnnbenchError where they cannot all run at once.
    """
    from cuda.bindings import driver as binding  # pyright: ignore[reportAttributeAccessIssue]
    from numba.cuda.cudadrv.driver import driver as calls  # pyright: ignore[reportAttributeAccessIssue]

    compiled = kernel.compile(tuple(kernel.typeof_pyval(argument) for argument in given))
    function = compiled._codelibrary.get_cufunc()
    attribute = binding.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    calls.cuKernelSetAttribute(attribute, shared, function.handle, function.device.id)
    if blocks is None:
        return
    most = compiled.max_cooperative_grid_blocks(threads, shared)
    if blocks > most:
        raise RnnbenchError(
            f"engine 'cuda' needs {blocks} blocks of {threads} threads at the same time, and this GPU runs {most} of "
            "them; use engine 'cuda_steps'"
        )
    compiled.cooperative = True
