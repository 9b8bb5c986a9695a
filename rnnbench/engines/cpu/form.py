"""How a program is run: step by step, or its matrix state a chunk of steps at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.engines.cpu.kernels import layout
from rnnbench.engines.cpu.memory import Block, address, aligned, padded, power_of_two
from rnnbench.engines.cpu.plan import Plan
from rnnbench.lang import Program
from rnnbench.lang.chunks import Memory, in_chunks
from rnnbench.lang.ops import Node
from rnnbench.lang.tiles import Stream, Tile, operand_names, saved_names, slot_names, transposed_names

if TYPE_CHECKING:
    from rnnbench.engines.cpu.run import CpuKernel

# Steps of a chunk, at least and at most, and how many units of a head make one: the work within a chunk grows with its
# steps, the passes over the matrix between chunks, which grow with the units, become fewer.
CHUNK, UNITS_FOR_STEP = (16, 64), 4
# Steps of a call, and units of a head, from which on chunks pay (docs/engine.md has the measurement).
LEAST_STEPS, LEAST_UNITS = 16, 64
NEVER = 1 << 60


@dataclass(frozen=True)
class Form:
    """A program with the names and sizes of its vectors, and the matrix state that is run apart from it, if any.

    ``sizes`` has the units of every size, and those padded to whole vectors.
    """

    program: Program
    sizes: Mapping[str, tuple[int, int]]
    memory: Memory | None = None

    def width(self, node: Node) -> int:
        """Return the padded size of a vector of the step or of its adjoint."""
        return self.sizes[self.program.sizes.of(node)][1]

    def widths(self, names: Mapping[Node, str]) -> dict[str, int]:
        """Return the padded sizes of vectors, by the names given."""
        return {name: self.width(node) for node, name in names.items()}

    def handed(self, tiles: Iterable[Tile], kind: str) -> dict[str, int]:
        """Return the padded sizes of what tiles hand on or are handed by a kind of streams, by name.

        Such are carry, between tiles of the same step, and those of a chunk: kept, export and import.
        """
        found = ((s, tile.size) for tile in tiles for s, _ in (*tile.stores, *tile.loads))
        return {s.name: self.sizes[size][1] for s, size in found if s.kind == kind}

    @cached_property
    def slots(self):
        """Names of the pre-activations."""
        return slot_names(self.program)

    @cached_property
    def saved(self):
        """Names of the saved values."""
        return saved_names(self.program)

    @cached_property
    def operands(self):
        """Names of the arguments of recurrent products."""
        return operand_names(self.program)

    @cached_property
    def transposed(self):
        """Names of the adjoint's products."""
        return transposed_names(self.program)


def chunk_steps(units: int) -> int:
    """Return the steps of a chunk for heads of so many units."""
    least, most = CHUNK
    return power_of_two(min(max(units // UNITS_FOR_STEP, least), most), most)


def least_steps(program: Program, hidden: int) -> int:
    """Return the steps of a call from which on a matrix state is run in chunks, where it can be."""
    heads = max(program.matrices.values(), default=1)
    return LEAST_STEPS if hidden // heads >= LEAST_UNITS else NEVER


def forms(program: Program, sizes: Mapping[str, tuple[int, int]]) -> tuple[Form, Form | None]:
    """Return the program step by step and, where its graph allows it, in chunks; ``sizes`` are those of a Form."""
    found = in_chunks(program)
    if isinstance(found, str):
        return Form(program, sizes), None
    around, memory = found
    fits = memory.reads <= layout.MOST_MATRIX and len(memory.takes) <= layout.MOST_MATRIX
    return Form(program, sizes), Form(around, sizes, memory) if fits else None


def work_bytes(kernel: CpuKernel, heads: int, chunk: int, training: bool) -> int:
    """Return the bytes that a thread needs for the matrix state of one head over a chunk (kernels/chunk.py)."""
    steps, units = padded(chunk, kernel.lanes), padded(kernel.hidden // heads, kernel.lanes)
    slab, weights, square = steps * units, steps * steps, units * units
    most, panel = layout.MOST_MATRIX, layout.INNER_BLOCK * kernel.panel
    values = (2 + 6 * most) * slab + most * most * weights + 2 * max(units, steps) + square + panel
    if training:
        # The matrix at the beginning of every part of a chunk; memory of parts that are not there is never touched.
        values += (6 * most + 2) * slab + weights + (4 + chunk) * square
    return padded(values * kernel.dtype.itemsize + (chunk + 1) * 8, 64)


def set_memory(
    plan: Plan, kernel: CpuKernel, form: Form, chunk: int, threads: int, states: Block, d_states: Block | None
) -> None:
    """Write the table of the matrix state into a plan; ``d_states`` makes it a backward's."""
    memory = form.memory
    assert memory is not None
    table = np.full(layout.MEMORY_SIZE, -1, dtype=np.int64)
    start, per_chunk, _, _, row = states.entry(memory.state)
    work = aligned((threads, work_bytes(kernel, memory.heads, chunk, d_states is not None)), np.dtype(np.uint8))
    # In inference every chunk begins where the last one ended.
    entries: dict[str, int] = {
        "MEMORY_HEADS": memory.heads, "CHUNK_STEPS": chunk, "READS": memory.reads, "WRITES": len(memory.takes),
        "STATE": start, "STATE_CHUNK": per_chunk if len(states.array) > 1 else 0, "STATE_ROW": row,
        "WORK": address(work), "WORK_BYTES": work.strides[0],
    }  # fmt: skip
    if d_states is not None:
        entries["D_STATE"], _, _, _, entries["D_STATE_ROW"] = d_states.entry(memory.state)
    for name, value in entries.items():
        table[getattr(layout, name)] = value
    given = [r for r, there in enumerate(memory.given) if there]
    reads, writes = range(memory.reads), range(len(memory.takes))
    columns: Mapping[str, list[tuple[int, Stream]]] = {
        "DECAYS": [(0, Stream("export", "decay"))] if memory.decay else [],
        "QUERIES": [(j, Stream("export", f"query {j}")) for j in reads],
        "KEYS": [(r, Stream("export", f"key {r}")) for r in writes],
        "GIVEN": [(r, Stream("export", f"given {r}")) for r in given],
    }
    # A read may go to a value that is stored and nowhere else, and not everything needs its gradient.
    wanted: Mapping[str, list[tuple[int, Stream]]]
    if d_states is None:
        wanted = {"RESULTS": [(j, Stream("import", f"read {j}")) for j in reads]}
    else:
        wanted = {
            "D_DECAYS": [(0, Stream("import", "d decay"))] if memory.decay else [],
            "D_QUERIES": [(j, Stream("import", f"d query {j}")) for j in reads],
            "D_KEYS": [(r, Stream("import", f"d key {r}")) for r in writes],
            "D_GIVEN": [(r, Stream("import", f"d given {r}")) for r in given],
            "D_RESULTS": [(j, Stream("export", f"d read {j}")) for j in reads],
        }
    for found, number in ((columns, plan.stream), (wanted, plan.find)):
        for name, streams in found.items():
            for index, stream in streams:
                table[getattr(layout, name) + index] = number(stream)
    for r, takes in enumerate(memory.takes):
        table[layout.TAKES + r * layout.MOST_MATRIX :][: len(takes)] = takes
    plan.keep(table, work)
    plan.set("MEMORY", address(table))
    plan.shared("RUN_MEMORY", *(("chunk", "run_chunk") if d_states is None else ("chunk_back", "run_chunk_back")))
    plan.shared("PRODUCT_TRANSPOSED", "product", "product_transposed")
