"""The forward call: its memory and its plan, for one shape."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cpu.form import chunk_steps, set_memory, work_bytes
from rnnbench.engines.cpu.host import host
from rnnbench.engines.cpu.kernels import layout
from rnnbench.engines.cpu.memory import Block, Entry, Results, address, power_of_two
from rnnbench.engines.cpu.plan import Phases, Plan, Product, operand_stream
from rnnbench.engines.cpu.threads import barriers
from rnnbench.lang.ops import Node
from rnnbench.lang.over_units import OverUnits
from rnnbench.lang.tiles import Stream, affine_of, direct_tiles, forward_phases, reused_streams, saved_sizes

if TYPE_CHECKING:
    from rnnbench.engines.cpu.run import CpuKernel

SLOT_BYTES = 1 << 17  # pre-activations of a forward chunk and thread that stay in the second-level cache
# Steps of a chunk at least where the input weights would not stay in that cache from one chunk to the next.
STEPS_PER_READING = 8
X = Stream("x", "x")
HANDED = ("kept", "export", "import")  # kinds of streams that both phases of a chunk know


class Forward:
    """Memory and plan of the forward over T steps and B rows; in training it keeps what the backward reads."""

    def __init__(self, kernel: CpuKernel, T: int, B: int, last_only: bool, *, training: bool) -> None:
        self.kernel, self.shape, self.training = kernel, (T, B, last_only), training
        self.split = kernel.split(T, B)
        self.form = form = kernel.form(T)
        dtype, program = kernel.dtype, form.program
        self.phases = forward_phases(program, training)
        self.tiles = (*self.phases[0], *self.phases[1])
        self._direct = direct_tiles(self.tiles)
        # Where a product's result goes at once, without a tile.
        self._places = {node: stream for places in self._direct.values() for node, stream in places.items()}
        slots = form.widths(form.slots)
        step_bytes = max(1, sum(slots.values()) * dtype.itemsize * -(-B // self.split.threads))
        weights = kernel.input_size * sum(slots.values()) * dtype.itemsize
        least = STEPS_PER_READING if weights > host().level_2 / 2 else 1
        steps = max(SLOT_BYTES / step_bytes, least)
        if form.memory is not None:
            steps = chunk_steps(kernel.hidden // form.memory.heads)
        self.chunk = power_of_two(steps, T)
        # Training keeps the states of all steps, inference those before and after one step.
        steps, mask = (T + 1, -1) if training else (2, 1)
        vectors = (s for s in program.states if s not in program.matrices)
        self.states = Block(kernel.state_widths(vectors), steps, B, dtype, mask)
        if form.memory is not None:  # before every chunk, or in place
            steps, mask = (-(-T // self.chunk) + 1, -1) if training else (1, 0)
        self.matrices = Block(kernel.state_widths(kernel.program.matrices), steps, B, dtype, mask)
        self.saved = Block(form.widths(form.saved) if training else {}, T, B, dtype, -1)
        # Pre-activations lie where their tile then writes what it saves of them.
        self.over_saved = reused_streams(self.tiles, "slot", "saved", saved_sizes(program) if training else {})
        own = {n: width for n, width in slots.items() if n not in self.over_saved}
        self.slots = Block(own, self.chunk, B, dtype, self.chunk - 1)
        self.carried = Block(form.handed(self.tiles, "carry"), 1, B, dtype, 0)
        self.operands = Block(form.widths(form.operands), 1, B, dtype, 0)
        self.names = OverUnits.of(program, program.stages, "next")
        self.arguments = Block(form.widths(self.names.arguments), 1, B, dtype, 0)
        self.results = Block(form.widths(self.names.results), 1, B, dtype, 0, zero=True)
        # Of a chunk: what goes to a matrix state and comes from it, and what the first phase keeps for the second.
        self.handed = {
            kind: Block(form.handed(self.tiles, kind), self.chunk, B, dtype, self.chunk - 1, zero=True)
            for kind in HANDED
        }
        # Vectors over units, the same for every row: per-unit parameters, and each pre-activation's sum of biases.
        self.units = {name: width for name, (_, width) in kernel.unit_sizes().items()}
        self.fixed = Block({**self.units, **slots}, 1, 1, dtype, 0, zero=True)
        self.blocks = (
            self.states, self.matrices, self.slots, self.saved, self.carried, self.operands, self.arguments,
            self.results, self.fixed, *self.handed.values(),
        )  # fmt: skip
        self.nbytes = sum(block.nbytes for block in self.blocks)
        if form.memory is not None:
            self.nbytes += self.split.threads * work_bytes(kernel, form.memory.heads, self.chunk, False)
        self._outputs = Results(dtype, {"y": (*((B,) if last_only else (T, B)), kernel.output_size)})
        self._finals = Results(dtype, kernel.state_shapes(B))
        self._known_phases: dict[tuple[int, bool], Phases] = {}

    def block_of(self, state: str) -> Block:
        """Return the memory that a state lies in."""
        return self.matrices if state in self.kernel.program.matrices else self.states

    def slot_after(self, state: str, steps: int) -> int:
        """Return where in its memory a state lies after so many steps."""
        if self.form.memory is not None and state == self.form.memory.state:
            steps = -(-steps // self.chunk)
        return steps & self.block_of(state).mask

    def entries(self) -> dict[Stream, Entry]:
        """Return the streams that the forward's memory holds."""
        program, size = self.kernel.program, self.kernel.dtype.itemsize
        entries = {Stream("state", s): self.block_of(s).entry(s) for s in program.states}
        entries |= {Stream("next", s): self.block_of(s).entry(s, 1) for s in program.states}
        entries |= {Stream(kind, n): block.entry(n) for kind, block in self.handed.items() for n in block.names}
        entries |= {Stream("slot", n): self.slots.entry(n) for n in self.slots.names}
        entries |= {Stream("saved", n): self.saved.entry(n) for n in self.saved.names}
        entries |= {Stream("slot", n): entries[Stream("saved", s)] for n, s in self.over_saved.items()}
        entries |= {Stream("carry", n): self.carried.entry(n) for n in self.carried.names}
        entries |= {Stream("operand", n): self.operands.entry(n) for n in self.operands.names}
        entries |= {Stream("argument", n): self.arguments.entry(n) for n in self.arguments.names}
        entries |= {Stream("result", n): self.results.entry(n) for n in self.results.names}
        entries |= {Stream("unit", n): self.fixed.fixed(n) for n in self.units}
        entries |= {Stream("bias", n): self.fixed.fixed(n) for n in self.form.slots.values()}
        _, B, last_only = self.shape
        entries[X] = (0, B * self.kernel.input_size * size, -1, 0, self.kernel.input_size * size)
        # With only the last output wanted, every step writes the same rows.
        row = self.kernel.output_size * size
        entries[Stream("y", program.output)] = (0, B * row, 0 if last_only else -1, 0, row)
        return entries

    @cached_property
    def plan(self) -> Plan:
        """The plan; made on first use."""
        kernel, (T, B, _) = self.kernel, self.shape
        plan = Plan(
            kernel.dtype_name,
            STEPS=T, CHUNK=self.chunk, PART=self.chunk, BATCH=B, UNITS=kernel.hidden, MEMBERS=self.split.members,
        )  # fmt: skip
        plan.add_streams(self.entries())
        groups = barriers(self.split.threads)
        plan.keep(groups)
        plan.set("BARRIERS", address(groups))
        before: list[Product] = []
        for node, slot in self.form.slots.items():
            name = affine_of(node).input
            if name is not None:
                panels, depth = kernel.packed.address((f"W.{name}",), False)
                before.append((panels, depth, self.form.width(node), X, Stream("bias", slot), Stream("slot", slot)))
        plan.rows("BEFORE", plan.numbered(before), "BEFORE_COUNT")
        plan.rows("CHECKS", [(plan.stream(X), kernel.input_size)], "CHECK_COUNT")
        tile_address = partial(kernel.tile_address, self.form)
        plan.stages(self.phases, kernel.sizes, self._direct, tile_address, self._products, self.names)
        # Pre-activations are written a chunk before their step, everything else by its tile.
        over = {Stream("saved", name) for name in self.over_saved.values()}
        written = {s: kernel.sizes[tile.size][1] for tile in self.tiles for s, _ in tile.stores}
        plan.ahead({s: (self.chunk if s in over else 1, width) for s, width in written.items()})
        plan.frames(self.tiles, self.split.threads)
        if self.form.memory is not None:
            set_memory(plan, kernel, self.form, self.chunk, self.split.threads, self.matrices, None)
        program, size = kernel.program, kernel.dtype.itemsize
        states = [(s, self.block_of(s), kernel.values(s)) for s in program.states]
        enter = [(0, n * size, *block.at(s, 0), n, 0) for s, block, n in states]
        leave = [(*block.at(s, self.slot_after(s, T)), 0, n * size, n, 0) for s, block, n in states]
        self._enter, self._leave = plan.rows("ENTER", enter, "ENTER_COUNT"), plan.rows("LEAVE", leave, "LEAVE_COUNT")
        plan.finish()
        self._x, self._y = plan.stream(X), plan.stream(Stream("y", program.output))
        self._steps = T
        return plan

    def _products(self, node: Node) -> list[Product]:
        """Return the products that finish a pre-activation."""
        kernel, form, affine, slot = self.kernel, self.form, affine_of(node), self.form.slots[node]
        result = self._places.get(node, Stream("slot", slot))
        start = Stream("bias" if affine.input is None else "slot", slot)
        rows: list[Product] = []
        for matrix, operand in zip(affine.matrices, node.args, strict=True):
            panels, depth = kernel.packed.address((f"R.{matrix}",), False)
            rows.append((panels, depth, form.width(node), operand_stream(operand, form.operands), start, result))
            start = result
        return rows

    def pack_from(self, params: Arrays) -> None:
        """Have the next call pack these parameters."""
        kernel, plan = self.kernel, self.plan
        plan.rows("PACKS", kernel.packed.rows(params, False), "PACK_COUNT")
        units = {name: count for name, (count, _) in kernel.unit_sizes().items()}
        sums = [(self.fixed.at(name, 0)[0], address(params[name]), 1, count) for name, count in units.items()]
        for node, slot in self.form.slots.items():
            target = self.fixed.at(slot, 0)[0]
            sums += [(target, address(params[b]), n == 0, units[b]) for n, b in enumerate(affine_of(node).biases)]
        plan.rows("UNIT_SUMS", sums, "UNIT_SUM_COUNT")

    def take_vectors(self, other: Forward) -> None:
        """Copy the vectors over units that another plan of the same frozen weights has formed."""
        assert self.plan is not None
        for name in self.fixed.names:
            self.fixed.rows(name)[...] = other.fixed.rows(name)

    def pack_now(self) -> None:
        """Pack without running a step."""
        pack = Phases(self.kernel.dtype_name, [("pack", "pack_weights", 0, 1)])
        self.kernel.launch(pack, self.plan, 1)

    def segment(
        self, steps: int, places: tuple[int, int], begins: dict[str, int], ends: dict[str, int], *, pack: bool
    ) -> None:
        """Run ``steps`` steps, T at most, after packing the weights if ``pack``.

        ``places`` are the addresses of x and y; ``begins`` and ``ends`` those of the states before (absent: zero) and
        after, rows of each one's size.
        """
        kernel, plan = self.kernel, self.plan
        plan.move(self._x, places[0])
        plan.move(self._y, places[1])
        for index, name in enumerate(kernel.program.states):
            start = begins.get(name, 0)
            self._enter[index, 0] = start
            self._leave[index, layout.TO] = ends[name]
            if steps != self._steps:
                self._leave[index, layout.FROM] = self.block_of(name).at(name, self.slot_after(name, steps))[0]
        if steps != self._steps:
            plan.set("STEPS", steps)
            self._steps = steps
        kernel.launch(self._phases(steps, pack), plan, self.split.threads)

    def _phases(self, steps: int, pack: bool) -> Phases:
        """Return what a call over so many steps runs."""
        if (steps, pack) not in self._known_phases:
            rows = [("pack", "pack_weights", 0, 1)] if pack else []
            rows.append(("sequence", "run_steps", 0, -(-steps // self.chunk)))
            self._known_phases[steps, pack] = Phases(self.kernel.dtype_name, rows)
        return self._known_phases[steps, pack]

    def run(self, x: np.ndarray, state: Arrays, pack: bool) -> tuple[np.ndarray, Arrays]:
        """Run all steps, after packing the weights if ``pack``; raises what says that a value is not finite."""
        kernel, plan = self.kernel, self.plan
        (outputs, outputs_at), (final, ends) = self._outputs.new(), self._finals.new()
        begins = {name: address(array) for name, array in state.items()}
        self.segment(self.shape[0], (address(x), outputs_at["y"]), begins, ends, pack=pack)
        if plan.table[layout.NOT_FINITE]:
            plan.table[layout.NOT_FINITE] = 0
            kernel.refuse({"x": x} | {f"state[{name!r}]": value for name, value in state.items()})
        return outputs["y"], final
