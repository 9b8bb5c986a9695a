"""The backward call: its memory and its plan, for the shape of a training forward."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cpu.forward import Forward
from rnnbench.engines.cpu.plan import (
    CHUNK_ROWS,
    PART_ROWS,
    Block,
    Entry,
    Tables,
    address,
    carries,
    operand_stream,
    padded,
    power_of_two,
)  # fmt: skip
from rnnbench.lang.ops import Node
from rnnbench.lang.tiles import Stream, affine_of, backward_tiles

if TYPE_CHECKING:
    from rnnbench.engines.cpu.run import CpuKernel

X, DX, DX_ROWS, ZERO = Stream("x", "x"), Stream("d_x", "x"), Stream("d_x_rows", "x"), Stream("zero", "zero")


class Backward:
    """Memory and plan of the backward after ``forward``.

    It runs in chunks of steps, last chunk first: each thread takes its rows back through the steps of a chunk, then all
    threads share the panels of the weight gradients of that chunk, while its values are still in cache.
    """

    def __init__(self, kernel: CpuKernel, forward: Forward) -> None:
        self.kernel, self.forward = kernel, forward
        T, B, _ = forward.shape
        self.threads = forward.threads
        dtype, width, program = kernel.dtype, kernel.width, kernel.program
        self.tiles = backward_tiles(program)
        self.chunk = power_of_two(CHUNK_ROWS / B, T)
        self.part = power_of_two(PART_ROWS * self.threads / B, self.chunk)
        self.slots = {a: kernel.slots[a] for a in program.adjoint.affines}
        self.units = list(dict.fromkeys(s.name for t in self.tiles for s, _ in t.sums))
        self.columns = padded(kernel.input_size, kernel.lanes)
        self.d_states = Block(program.states, 2, B, width, dtype, 1)
        self.d_slots = Block(self.slots.values(), self.chunk, B, width, dtype, self.chunk - 1)
        self.operands = Block(kernel.operands.values(), self.chunk, B, width, dtype, self.chunk - 1)
        self.transposed = Block(kernel.transposed.values(), 1, B, width, dtype, 0)
        self.carried = Block(carries(self.tiles), 1, B, width, dtype, 0)
        # Sums over rows: each block of rows adds to its own first row, so that threads do not meet.
        self.d_units = Block(self.units, 1, B, width, dtype, 0)
        self.d_x = Block(["x"], self.chunk, B, self.columns, dtype, self.chunk - 1)
        self.fixed = Block(["zero"], 1, 1, max(width, self.columns), dtype, 0, zero=True)
        blocks = (self.d_states, self.d_slots, self.operands, self.transposed, self.carried, self.d_units, self.d_x)
        self.nbytes = sum(block.nbytes for block in (*blocks, self.fixed))

    def entries(self) -> dict[Stream, Entry]:
        """Return the streams of the backward's memory and of what the forward kept."""
        kernel, (_, B, last_only) = self.kernel, self.forward.shape
        size, H, I = kernel.dtype.itemsize, kernel.hidden, kernel.input_size  # noqa: E741
        kept = self.forward.entries()
        entries = {s: e for s, e in kept.items() if s.kind in ("state", "next", "saved", "unit", "x")}
        for s in kernel.program.states:
            entries[Stream("upstream", s)] = self.d_states.entry(s, 1)
            entries[Stream("d_state", s)] = self.d_states.entry(s)
        for block, kind in (
            (self.d_slots, "d_slot"), (self.operands, "operand"), (self.transposed, "transposed"),
            (self.carried, "carry"), (self.d_units, "d_unit"),
        ):  # fmt: skip
            entries |= {Stream(kind, n): block.entry(n) for n in block.names}
        entries[ZERO] = self.fixed.fixed("zero")
        # Where only the last output has a gradient, it enters with the final state's, and every step's is zero.
        dy = Stream("dy", kernel.program.output)
        entries[dy] = entries[ZERO] if last_only else (0, B * H * size, -1, 0, H * size)
        entries[DX_ROWS] = self.d_x.entry("x")
        entries[DX] = (0, B * I * size, -1, 0, I * size)
        return entries

    @cached_property
    def tables(self) -> Tables:
        """The plan; made on first use."""
        kernel, (T, B, _) = self.kernel, self.forward.shape
        sequence, product = kernel.module("sequence"), kernel.module("product")
        tables = Tables(
            sequence,
            STEPS=T, CHUNK=self.chunk, PART=self.part, BATCH=B, UNITS=kernel.hidden, WIDTH=kernel.width, REVERSED=1,
            NARROW=product.product_narrow.address, WIDE=product.product_wide.address,
            NARROW_TRANSPOSED=product.product_narrow_transposed.address,
            WIDE_TRANSPOSED=product.product_wide_transposed.address,
        )  # fmt: skip
        entries = self.entries()
        for stream, entry in entries.items():
            tables.stream(stream, entry)
        tables.stages(self.tiles, kernel.cell, entries, {n: self._products(n) for n in kernel.transposed})
        after, start = [], ZERO
        for node, slot in self.slots.items():
            name = affine_of(node).input
            if name is not None:
                panels = address(kernel.packed.array(f"W.{name}", True))
                streams = (tables.stream(Stream("d_slot", slot)), tables.stream(start), tables.stream(DX_ROWS))
                after.append((panels, kernel.hidden, self.columns, *streams))
                start = DX_ROWS
        tables.table("AFTER", after, "AFTER_COUNT")
        if after:
            tables.table("COPIES", [(tables.stream(DX_ROWS), tables.stream(DX), kernel.input_size)], "COPY_COUNT")
        tables.frames(self.tiles, self.threads)
        tables.finish()
        return tables

    def _products(self, node: Node) -> list[tuple[int, int, int, Stream, Stream, Stream]]:
        """Return the products that a sum of transposed products consists of."""
        kernel, rows = self.kernel, []
        start, result = ZERO, Stream("transposed", kernel.transposed[node])
        for matrix, gradient in zip(node.value, node.args, strict=True):  # type: ignore[arg-type]
            slot = next(
                name
                for affine, name in self.slots.items()
                if kernel.program.adjoint.affines[affine] is gradient and matrix in affine_of(affine).matrices
            )
            panels = address(kernel.packed.array(f"R.{matrix}", True))
            rows.append((panels, kernel.hidden, kernel.width, Stream("d_slot", slot), start, result))
            start = result
        return rows

    def _gradients(self, targets: Arrays) -> list[tuple[int, ...]]:
        """Return the table entries of the weight gradients, which add to ``targets`` [rows, width]."""
        kernel, tables, owners = self.kernel, self.tables, list(targets)
        rows = []
        for node, slot in self.slots.items():
            affine = affine_of(node)
            pairs = [(f"W.{affine.input}", X)] if affine.input is not None else []
            pairs += [
                (f"R.{m}", operand_stream(o, kernel.operands)) for m, o in zip(affine.matrices, node.args, strict=True)
            ]
            for name, across in pairs:
                target, down = targets[name], Stream("d_slot", slot)
                rows.append(
                    (tables.stream(across), tables.stream(down), address(target), target.strides[0], len(target),
                     kernel.width, owners.index(name))
                )  # fmt: skip
        return rows

    @cached_property
    def _phases(self) -> np.ndarray:
        sequence, rows = self.kernel.module("sequence"), [(self.kernel.module("sequence").pack_weights.address, 0, 1)]
        for chunk in reversed(range(-(-self.forward.shape[0] // self.chunk))):
            rows += [(f.address, chunk, chunk + 1) for f in (sequence.run_steps, sequence.run_gradients)]
        return np.array(rows, dtype=np.int64)

    def run(self, params: Arrays, x: np.ndarray, dy: np.ndarray, dfinal: Arrays) -> Arrays:
        """Run all steps backwards and return the gradients."""
        kernel, (T, B, last_only) = self.kernel, self.forward.shape
        H, program, tables = kernel.hidden, kernel.program, self.tables
        for name in program.states:
            self.d_states.view(name, T & 1, H)[...] = dfinal.get(name, 0)
        if last_only:
            self.d_states.view(program.output, T & 1, H)[...] += dy
        else:
            tables.move(Stream("dy", program.output), address(dy))
        targets = {
            name: np.zeros((program.shape(name, kernel.input_size, H)[0], kernel.width), kernel.dtype)
            for name in program.params if name[0] in "WR"
        }  # fmt: skip
        d_x = np.empty((T, B, kernel.input_size), kernel.dtype)
        tables.move(X, address(x))
        tables.move(DX, address(d_x))
        tables.table("PACKS", kernel.packed.rows(params, True), "PACK_COUNT")
        tables.table("GRADIENTS", self._gradients(targets), "GRADIENT_COUNT")
        self.d_units.array.fill(0)
        kernel.launch(self._phases, tables.plan, self.threads)
        if not self.tables.plan[tables.sequence.AFTER_COUNT]:
            d_x.fill(0)
        grads = {name: target if kernel.width == H else target[:, :H].copy() for name, target in targets.items()}
        for name in self.forward.units:
            rows = self.d_units.view(name, 0, H) if name in self.units else np.zeros((1, H), kernel.dtype)
            grads[name] = rows.sum(axis=0)
        grads = {name: grads[name] for name in program.params}
        return grads | {"x": d_x} | {s: self.d_states.view(s, 0, H).copy() for s in program.states}
