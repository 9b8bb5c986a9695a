"""The forward call: its memory and its plan, for one shape."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cpu.host import host
from rnnbench.engines.cpu.kernels import layout
from rnnbench.engines.cpu.memory import Block, Entry, Results, address, power_of_two
from rnnbench.engines.cpu.plan import Phases, Plan, Product, carries, operand_stream
from rnnbench.engines.cpu.threads import barriers
from rnnbench.lang.ops import Node
from rnnbench.lang.tiles import Stream, affine_of, forward_tiles, reused_streams

if TYPE_CHECKING:
    from rnnbench.engines.cpu.run import CpuKernel

SLOT_BYTES = 1 << 17  # pre-activations of a forward chunk and thread that stay in the second-level cache
# Steps of a chunk at least where the input weights would not stay in that cache from one chunk to the next.
STEPS_PER_READING = 8
X = Stream("x", "x")


class Forward:
    """Memory and plan of the forward over T steps and B rows; in training it keeps what the backward reads."""

    def __init__(self, kernel: CpuKernel, T: int, B: int, last_only: bool, *, training: bool) -> None:
        self.kernel, self.shape, self.training = kernel, (T, B, last_only), training
        self.split = kernel.split(T, B)
        dtype, width, program = kernel.dtype, kernel.width, kernel.program
        self.tiles = forward_tiles(program, training)
        step_bytes = max(1, len(kernel.slots) * width * dtype.itemsize * -(-B // self.split.threads))
        weights = len(kernel.slots) * kernel.input_size * width * dtype.itemsize
        least = STEPS_PER_READING if weights > host().level_2 / 2 else 1
        self.chunk = power_of_two(max(SLOT_BYTES / step_bytes, least), T)
        # Training keeps the states of all steps, inference those before and after one step.
        self.states = Block(program.states, T + 1 if training else 2, B, width, dtype, -1 if training else 1)
        self.saved = Block(kernel.saved.values() if training else (), T, B, width, dtype, -1)
        # Pre-activations lie where their tile then writes what it saves of them.
        self.over_saved = reused_streams(self.tiles, "slot", "saved", self.saved.names)
        own = [n for n in kernel.slots.values() if n not in self.over_saved]
        self.slots = Block(own, self.chunk, B, width, dtype, self.chunk - 1)
        self.carried = Block(carries(self.tiles), 1, B, width, dtype, 0)
        self.operands = Block(kernel.operands.values(), 1, B, width, dtype, 0)
        # Vectors over units, the same for every row: per-unit parameters, and each pre-activation's sum of biases.
        self.units = [p for p in program.params if p[0] in "bp"]
        self.fixed = Block([*self.units, *kernel.slots.values()], 1, 1, width, dtype, 0, zero=True)
        self.blocks = (self.states, self.slots, self.saved, self.carried, self.operands, self.fixed)
        self.nbytes = sum(block.nbytes for block in self.blocks)
        H = kernel.hidden
        self._outputs = Results(dtype, {"y": (B, H) if last_only else (T, B, H)})
        self._finals = Results(dtype, dict.fromkeys(program.states, (B, H)))
        self._known_phases: dict[tuple[int, bool], Phases] = {}

    def entries(self) -> dict[Stream, Entry]:
        """Return the streams that the forward's memory holds."""
        program, H, size = self.kernel.program, self.kernel.hidden, self.kernel.dtype.itemsize
        entries = {Stream("state", s): self.states.entry(s) for s in program.states}
        entries |= {Stream("next", s): self.states.entry(s, 1) for s in program.states}
        entries |= {Stream("slot", n): self.slots.entry(n) for n in self.slots.names}
        entries |= {Stream("saved", n): self.saved.entry(n) for n in self.saved.names}
        entries |= {Stream("slot", n): entries[Stream("saved", s)] for n, s in self.over_saved.items()}
        entries |= {Stream("carry", n): self.carried.entry(n) for n in self.carried.names}
        entries |= {Stream("operand", n): self.operands.entry(n) for n in self.operands.names}
        entries |= {Stream("unit", n): self.fixed.fixed(n) for n in self.units}
        entries |= {Stream("bias", n): self.fixed.fixed(n) for n in self.kernel.slots.values()}
        _, B, last_only = self.shape
        entries[X] = (0, B * self.kernel.input_size * size, -1, 0, self.kernel.input_size * size)
        # With only the last output wanted, every step writes the same rows.
        entries[Stream("y", program.output)] = (0, B * H * size, 0 if last_only else -1, 0, H * size)
        return entries

    @cached_property
    def plan(self) -> Plan:
        """The plan; made on first use."""
        kernel, (T, B, _) = self.kernel, self.shape
        plan = Plan(
            kernel.dtype_name,
            STEPS=T, CHUNK=self.chunk, PART=self.chunk, BATCH=B, UNITS=kernel.hidden, WIDTH=kernel.width,
            MEMBERS=self.split.members,
        )  # fmt: skip
        plan.add_streams(self.entries())
        groups = barriers(self.split.threads)
        plan.keep(groups)
        plan.set("BARRIERS", address(groups))
        before: list[Product] = []
        for node, slot in kernel.slots.items():
            name = affine_of(node).input
            if name is not None:
                panels, depth = kernel.packed.address((f"W.{name}",), False)
                before.append((panels, depth, kernel.width, X, Stream("bias", slot), Stream("slot", slot)))
        plan.rows("BEFORE", plan.numbered(before), "BEFORE_COUNT")
        plan.rows("CHECKS", [(plan.stream(X), kernel.input_size)], "CHECK_COUNT")
        plan.stages(self.tiles, kernel.tile_address, self._products)
        # Pre-activations are written a chunk before their step, everything else by its tile.
        over = {Stream("saved", name) for name in self.over_saved.values()}
        written = dict.fromkeys(s for tile in self.tiles for s, _ in tile.stores)
        plan.ahead({s: self.chunk if s in over else 1 for s in written})
        plan.frames(self.tiles, self.split.threads)
        program = kernel.program
        last, row = T & self.states.mask, kernel.hidden * kernel.dtype.itemsize
        self._enter = plan.rows(
            "ENTER", [(0, row, *self.states.at(s, 0), kernel.hidden, 0) for s in program.states], "ENTER_COUNT"
        )
        self._leave = plan.rows(
            "LEAVE", [(*self.states.at(s, last), 0, row, kernel.hidden, 0) for s in program.states], "LEAVE_COUNT"
        )
        plan.finish()
        self._x, self._y = plan.stream(X), plan.stream(Stream("y", program.output))
        self._steps = T
        return plan

    def _products(self, node: Node) -> list[Product]:
        """Return the products that finish a pre-activation."""
        kernel, affine, slot = self.kernel, affine_of(node), self.kernel.slots[node]
        result = Stream("slot", slot)
        start = Stream("bias", slot) if affine.input is None else result
        rows: list[Product] = []
        for matrix, operand in zip(affine.matrices, node.args, strict=True):
            panels, depth = kernel.packed.address((f"R.{matrix}",), False)
            rows.append((panels, depth, kernel.width, operand_stream(operand, kernel.operands), start, result))
            start = result
        return rows

    def pack_from(self, params: Arrays) -> None:
        """Have the next call pack these parameters."""
        kernel, plan = self.kernel, self.plan
        plan.rows("PACKS", kernel.packed.rows(params, False), "PACK_COUNT")
        sums = [(self.fixed.at(name, 0)[0], address(params[name]), 1) for name in self.units]
        for node, slot in kernel.slots.items():
            target = self.fixed.at(slot, 0)[0]
            sums += [(target, address(params[b]), n == 0) for n, b in enumerate(affine_of(node).biases)]
        plan.rows("UNIT_SUMS", sums, "UNIT_SUM_COUNT")

    def take_vectors(self, other: Forward) -> None:
        """Copy the vectors over units that another plan of the same frozen weights has formed."""
        assert self.plan is not None
        self.fixed.array[...] = other.fixed.array

    def pack_now(self) -> None:
        """Pack without running a step."""
        pack = Phases(self.kernel.dtype_name, [("pack", "pack_weights", 0, 1)])
        self.kernel.launch(pack, self.plan, 1)

    def segment(
        self, steps: int, places: tuple[int, int], begins: dict[str, int], ends: dict[str, int], *, pack: bool
    ) -> None:
        """Run ``steps`` steps, T at most, after packing the weights if ``pack``.

        ``places`` are the addresses of x and y; ``begins`` and ``ends`` those of the states before (absent: zero) and
        after, rows of H values.
        """
        kernel, plan = self.kernel, self.plan
        plan.move(self._x, places[0])
        plan.move(self._y, places[1])
        for index, name in enumerate(kernel.program.states):
            start = begins.get(name, 0)
            self._enter[index, 0] = start
            self._leave[index, layout.TO] = ends[name]
            if steps != self._steps:
                self._leave[index, layout.FROM] = self.states.at(name, steps & self.states.mask)[0]
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
