"""The forward call: its memory and its plan, for one shape."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cpu.plan import SLOT_BYTES, Block, Entry, Tables, address, carries, operand_stream, power_of_two
from rnnbench.lang.tiles import Stream, affine_of, forward_tiles

if TYPE_CHECKING:
    from rnnbench.engines.cpu.run import CpuKernel


class Forward:
    """Memory and plan of the forward over T steps and B rows; in training it keeps what the backward reads."""

    def __init__(self, kernel: CpuKernel, T: int, B: int, last_only: bool, *, training: bool) -> None:
        self.kernel, self.shape, self.training = kernel, (T, B, last_only), training
        self.threads = kernel.threads_for(T, B)
        dtype, width, program = kernel.dtype, kernel.width, kernel.program
        self.tiles = forward_tiles(program, training)
        step_bytes = max(1, len(kernel.slots) * width * dtype.itemsize * -(-B // self.threads))
        self.chunk = power_of_two(SLOT_BYTES / step_bytes, T)
        # Training keeps the states of all steps, inference those before and after one step.
        self.states = Block(program.states, T + 1 if training else 2, B, width, dtype, -1 if training else 1)
        self.slots = Block(kernel.slots.values(), self.chunk, B, width, dtype, self.chunk - 1)
        self.saved = Block(kernel.saved.values() if training else (), T, B, width, dtype, -1)
        self.carried = Block(carries(self.tiles), 1, B, width, dtype, 0)
        self.operands = Block(kernel.operands.values(), 1, B, width, dtype, 0)
        # Vectors over units, the same for every row: per-unit parameters, and each pre-activation's sum of biases.
        self.units = [p for p in program.params if p[0] in "bp"]
        self.fixed = Block([*self.units, *kernel.slots.values()], 1, 1, width, dtype, 0, zero=True)
        self.blocks = (self.states, self.slots, self.saved, self.carried, self.operands, self.fixed)
        self.nbytes = sum(block.nbytes for block in self.blocks)

    def entries(self) -> dict[Stream, Entry]:
        """Return the streams that the forward's memory holds."""
        program, H, size = self.kernel.program, self.kernel.hidden, self.kernel.dtype.itemsize
        entries = {Stream("state", s): self.states.entry(s) for s in program.states}
        entries |= {Stream("next", s): self.states.entry(s, 1) for s in program.states}
        entries |= {Stream("slot", n): self.slots.entry(n) for n in self.slots.names}
        entries |= {Stream("saved", n): self.saved.entry(n) for n in self.saved.names}
        entries |= {Stream("carry", n): self.carried.entry(n) for n in self.carried.names}
        entries |= {Stream("operand", n): self.operands.entry(n) for n in self.operands.names}
        entries |= {Stream("unit", n): self.fixed.fixed(n) for n in self.units}
        entries |= {Stream("bias", n): self.fixed.fixed(n) for n in self.slots.names}
        _, B, last_only = self.shape
        entries[Stream("x", "x")] = (0, B * self.kernel.input_size * size, -1, 0, self.kernel.input_size * size)
        # With only the last output wanted, every step writes the same rows.
        entries[Stream("y", program.output)] = (0, B * H * size, 0 if last_only else -1, 0, H * size)
        return entries

    @cached_property
    def tables(self) -> Tables:
        """The plan; made on first use."""
        kernel, (T, B, _) = self.kernel, self.shape
        sequence, product = kernel.module("sequence"), kernel.module("product")
        tables = Tables(
            sequence,
            STEPS=T, CHUNK=self.chunk, PART=self.chunk, BATCH=B, UNITS=kernel.hidden, WIDTH=kernel.width,
            NARROW=product.product_narrow.address, WIDE=product.product_wide.address,
        )  # fmt: skip
        entries = self.entries()
        for stream, entry in entries.items():
            tables.stream(stream, entry)
        before, products = [], {}
        for node, slot in kernel.slots.items():
            affine, start = affine_of(node), Stream("bias", slot)
            result = Stream("slot", slot)
            if affine.input is not None:
                panels = address(kernel.packed.array(f"W.{affine.input}", False))
                streams = (tables.stream(Stream("x", "x")), tables.stream(start), tables.stream(result))
                before.append((panels, kernel.input_size, kernel.width, *streams))
                start = result
            rows = products.setdefault(node, [])
            for matrix, operand in zip(affine.matrices, node.args, strict=True):
                panels = address(kernel.packed.array(f"R.{matrix}", False))
                left = operand_stream(operand, kernel.operands)
                rows.append((panels, kernel.hidden, kernel.width, left, start, result))
                start = result
        tables.table("BEFORE", before, "BEFORE_COUNT")
        tables.stages(self.tiles, kernel.cell, entries, products)
        tables.frames(self.tiles, self.threads)
        tables.finish()
        return tables

    @cached_property
    def _phases(self) -> tuple[np.ndarray, np.ndarray]:
        """What to run with fresh weights, and with packed ones: (function, first chunk, end chunk)."""
        sequence = self.kernel.module("sequence")
        chunks = -(-self.shape[0] // self.chunk)
        phases = np.array([[sequence.pack_weights.address, 0, 1], [sequence.run_steps.address, 0, chunks]])
        return phases, phases[1:].copy()

    def load(self, params: Arrays) -> None:
        """Take over biases and per-unit parameters."""
        H = self.kernel.hidden
        for name in self.units:
            self.fixed.view(name, 0, H)[0] = params[name]
        for node, slot in self.kernel.slots.items():
            total = self.fixed.view(slot, 0, H)[0]
            total[:] = 0
            for bias in affine_of(node).biases:
                total += params[bias]

    def run(self, x: np.ndarray, state: Arrays, weights: Arrays | None) -> tuple[np.ndarray, Arrays]:
        """Run all steps, after packing the weights unless they are packed already (None)."""
        kernel, (T, B, last_only) = self.kernel, self.shape
        H, tables = kernel.hidden, self.tables
        y = np.empty((B, H) if last_only else (T, B, H), kernel.dtype)
        tables.move(Stream("x", "x"), address(x))
        tables.move(Stream("y", kernel.program.output), address(y))
        for name in kernel.program.states:
            self.states.view(name, 0, H)[...] = state.get(name, 0)
        fresh, packed = self._phases
        if weights is not None:
            tables.table("PACKS", kernel.packed.rows(weights, False), "PACK_COUNT")
        kernel.launch(packed if weights is None else fresh, tables.plan, self.threads)
        last = T & self.states.mask
        return y, {name: self.states.view(name, last, H).copy() for name in kernel.program.states}
