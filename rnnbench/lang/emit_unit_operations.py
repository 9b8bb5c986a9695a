"""Write the operations over units of a persistent kernel: sums over the units of a head, and matrix states.

What they read lies in the block's shared memory, a place for each argument. A block that has all units of a part sums
them there itself, and holds the matrix states of its heads there; of several blocks each publishes the sum of its own
units, and all add these in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnnbench.lang import ops
from rnnbench.lang.emit_loops import indented
from rnnbench.lang.exchange import UnitOperation, matrix_of
from rnnbench.lang.resident import ITEMSIZE
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.tiles import Stream

if TYPE_CHECKING:
    from rnnbench.lang.emit_persistent import _Resident


class UnitOperations:
    """Writes the lines of a kernel's operations over units; a thread takes one unit of one row."""

    def __init__(self, writer: _Resident) -> None:
        self.writer, self.shape, self.exchange = writer, writer.shape, writer.exchange
        self.units = self.shape.width(HIDDEN).units
        self.updates = [o for o in self.exchange.operations if o.result is None]
        self._matrices_at: dict[Stream, int] = {}
        at = writer.matrices_at
        for matrix, heads in self.exchange.matrices:
            self._matrices_at[matrix] = at
            at += self.shape.rows * self.shape.matrix_values(heads)

    def clear(self) -> list[str]:
        """Return the lines that set all arguments to zero: of units that only fill up, nobody does it later."""
        if not self.exchange.arguments:
            return []
        begin, end = self.writer.arguments_at, self.writer.matrices_at
        place = f"{begin} + thread, {end}, {self.shape.threads}"
        return [f"for at in range({place}):", f"    store_value(shared, at, {self.writer.zero})"]

    def _argument(self, stream: Stream, row: str = "own_row") -> str:
        """Return where a row of an argument begins; a block that is alone has two places for each, taken in turn."""
        index, count = self.exchange.arguments.index(stream), len(self.exchange.arguments)
        number = f"(now * {count} + {index})" if self.writer.alone else str(index)
        return f"{self.writer.arguments_at} + ({number} * {self.shape.rows} + {row}) * {self.units}"

    def keep(self, given: Sequence[tuple[Stream, str]]) -> list[str]:
        """Return the lines that put arguments where the block reads them."""
        return [f"store_value(shared, {self._argument(stream)} + own_unit, {value})" for stream, value in given]

    def publish(self, arguments: Sequence[Stream]) -> list[str]:
        """Return the lines that show all blocks the sums of arguments over this block's units."""
        here = [(i, *of) for i, of in enumerate(self.exchange.sums) if of[0] in arguments]
        if self.writer.alone or not here:
            return []
        lines = ["cuda.syncthreads()"]
        for index, argument, heads in here:
            each, of_part = self.shape.each(heads), heads // self.shape.parts
            own, head = ("at", "0") if of_part == 1 else (f"at // {of_part}", f"at % {of_part}")
            first = f"own * {self.units} - block * {self.units}"
            at = f"{self._argument(argument, '0')} + {first} + other"
            row = f"(now * published_rows + {self.writer.above}first + own) * {self._of_row()}"
            lines += [
                f"for at in range(thread, {self.shape.rows * of_part}, {self.shape.threads}):",
                f"    own = {own}",
                f"    head = {head}",
                f"    found = {self.writer.zero}",
                f"    begin = max(head * {each}, block * {self.units})",
                f"    for other in range(begin, min(head * {each} + {each}, (block + 1) * {self.units})):",
                f"        found += load_value(shared, {at})",
                f"    sums[{row} + {self._sum_at(index, 'head')} + block] = found",
            ]
        return lines

    def _of_row(self) -> int:
        return self.shape.published_sums(self.exchange)[-1]

    def _sum_at(self, index: int, head: str) -> str:
        """Return where the blocks' sums of a head lie in a row of what is published."""
        places, heads = self.shape.published_sums(self.exchange), self.exchange.sums[index][1]
        return f"{places[index]} + {head} * {(places[index + 1] - places[index]) // (heads // self.shape.parts)}"

    def results(self, index: int) -> list[str]:
        """Return the lines that give a stage the results of its operations."""
        lines = []
        for operation in self.exchange.operations:
            if operation.tile == index and operation.result in self.writer.loaded:
                lines += self._result(operation, self.writer.loaded[operation.result])
        return lines

    def _result(self, operation: UnitOperation, name: str) -> list[str]:
        if operation.node.op in ops.OVER_UNITS:
            return self._sum(operation, name)
        each, op = self.shape.each(operation.heads), operation.node.op
        factor = f"load_value(shared, {self._of_head(operation, 0)} + other)" if operation.arguments else ""
        matrix = matrix_of(operation.node.args[0])
        down = op is ops.READ
        if op is ops.ROWDOT:
            factor = self._entry(operation, matrix_of(operation.node.args[1]), "other", down)
        return [
            f"{name} = {self.writer.zero}",
            f"for other in range({each}):",
            f"    {name} += {self._entry(operation, matrix, 'other', down)} * {factor}",
        ]

    def _sum(self, operation: UnitOperation, name: str) -> list[str]:
        """Return the lines of a sum over the units of a head."""
        each, of_part = self.shape.each(operation.heads), operation.heads // self.shape.parts
        place = self.writer.at_place(HIDDEN)
        head = "0" if of_part == 1 else f"{place} // {each}"
        lines = [f"{name} = {self.writer.zero}"]
        if self.writer.alone:
            at = self._argument(operation.arguments[0]) + (f" + {head} * {each}" if of_part > 1 else "")
            lines += [f"at = {at}", f"for other in range({each}):", f"    {name} += load_value(shared, at + other)"]
        else:
            index = self.exchange.sums.index((operation.arguments[0], operation.heads))
            vector = 16 // ITEMSIZE[self.shape.dtype]
            places = self.shape.published_sums(self.exchange)
            filled = (places[index + 1] - places[index]) // of_part
            row = f"(now * published_rows + {self.writer.above}row) * {self._of_row()}"
            lines += [
                f"at = {row} + {self._sum_at(index, head)}",
                f"for other in range(0, {filled}, {vector}):",
                "    vector = load_published(sums, at + other)",
                *(f"    {name} += vector[{i}]" for i in range(vector)),
            ]
        if operation.node.op is ops.MEAN:
            lines.append(f"{name} = {name} / {self.writer.numbers.name(float(each))}")
        return lines

    def _head(self, heads: int) -> str:
        """Return the number of a thread's head in its part."""
        return "0" if heads == self.shape.parts else f"own_unit // {self.shape.each(heads)}"

    def _of_head(self, operation: UnitOperation, argument: int) -> str:
        """Return where an argument of a thread's own head begins."""
        each, stream = self.shape.each(operation.heads), operation.arguments[argument]
        return f"{self._argument(stream)} + {self._head(operation.heads)} * {each}"

    def _entry_at(self, matrix: Stream, heads: int, other: str, down: bool) -> str:
        """Return where an entry of a matrix lies: of row ``other`` and the thread's column, ``down``, or the other way
        round."""
        each, of_part = self.shape.each(heads), heads // self.shape.parts
        own = f"own_unit % {each}" if of_part > 1 else "own_unit"
        row, column = (other, own) if down else (own, other)
        head = f"(own_row * {of_part} + {self._head(heads)})"
        return f"{self._matrices_at[matrix]} + ({head} * {each} + {row}) * {each | 1} + {column}"

    def _entry(self, operation: UnitOperation, matrix: Stream, other: str, down: bool) -> str:
        return f"load_value(shared, {self._entry_at(matrix, operation.heads, other, down)})"

    def _outside(self, matrix: Stream, step: str) -> str:
        """Return where the entry of row ``other`` and the thread's column lies in global memory at a step."""
        heads = dict(self.exchange.matrices)[matrix]
        each, of_part = self.shape.each(heads), heads // self.shape.parts
        first = self._first_value(matrix.name)
        part = f"part * {of_part} + " if self.shape.parts > 1 else ""
        own = f"own_unit % {each}" if of_part > 1 else "own_unit"
        block = "matrices" if matrix.kind == "state" else "d_matrices"
        at = f"{first} + (({part}{self._head(heads)}) * {each} + other) * {each} + {own}"
        return f"{block}[{step}, row, 0, {at}]"

    def _first_value(self, state: str) -> int:
        """Return where a matrix state begins in a row of all of them, as engines/cuda/memory.py lays them out."""
        program, hidden = self.writer.program, self.shape.width(HIDDEN).count * self.shape.parts
        before = [s for s in program.matrices if list(program.matrices).index(s) < list(program.matrices).index(state)]
        return sum(hidden * (hidden // program.matrices[s]) for s in before)

    def _bring(self, matrix: Stream, step: str) -> list[str]:
        """Return the lines that load a thread's column of a matrix."""
        heads = dict(self.exchange.matrices)[matrix]
        return [
            f"for other in range({self.shape.each(heads)}):",
            f"    store_value(shared, {self._entry_at(matrix, heads, 'other', True)}, {self._outside(matrix, step)})",
        ]

    def _own(self) -> list[Stream]:
        """Return the matrices that the steps hand on: states, or in the backward their gradients."""
        kind = "upstream" if self.writer.backward else "state"
        return [matrix for matrix, _ in self.exchange.matrices if matrix.kind == kind]

    def enter(self) -> list[str]:
        """Return the lines that load what the matrix states, or their gradients, begin with."""
        step = {"backward": "steps % 2", "forward": "start % 2", "training": "0"}[self.writer.kind]
        return [line for matrix in self._own() for line in self._bring(matrix, step)]

    def step_begin(self) -> list[str]:
        """Return the lines that load the states of a step of the backward, which reads them and their gradients."""
        lines = [line for m, _ in self.exchange.matrices if m not in self._own() for line in self._bring(m, "t")]
        return [f"if {self.writer.active(HIDDEN)}:", *indented(lines), "cuda.syncthreads()"] if lines else []

    def step_end(self) -> list[str]:
        """Return the lines that update all matrices, which every stage has then read, at the end of a step."""
        if not self.exchange.matrices:
            return []
        lines = [line for operation in self.updates for line in self._update(operation)]
        lines = [f"if {self.writer.active(HIDDEN)}:", *indented(lines)]
        return ["cuda.syncthreads()", *lines, "cuda.syncthreads()"]

    def _update(self, operation: UnitOperation) -> list[str]:
        """Return the lines that scale a thread's column of a matrix by its keys' decay and add to it key by value."""
        state, decay, *pairs = operation.node.args
        matrix = matrix_of(state)
        decays = len(operation.arguments) - len(pairs)
        values = [self._argument(operation.arguments[decays + i + 1]) for i in range(0, len(pairs), 2)]
        keys = [self._of_head(operation, decays + i) for i in range(0, len(pairs), 2)]
        at = self._entry_at(matrix, operation.heads, "other", True)
        numbered = [f"entry_{i}" for i in range(len(values))]
        lines = [f"{name} = load_value(shared, {at} + own_unit)" for name, at in zip(numbered, values, strict=True)]
        inner = [f"at = {at}", "entry = load_value(shared, at)"]
        if decays:
            inner.append(f"entry = entry * load_value(shared, {self._of_head(operation, 0)} + other)")
        inner += [f"entry += load_value(shared, {k} + other) * {n}" for k, n in zip(keys, numbered, strict=True)]
        inner.append("store_value(shared, at, entry)")
        if self.writer.kind == "training":
            inner.append(f"{self._outside(matrix, 't + 1')} = entry")
        return [*lines, f"for other in range({self.shape.each(operation.heads)}):", *indented(inner)]

    def leave(self) -> list[str]:
        """Return the lines that write what the matrix states, or their gradients, end with."""
        step = {"backward": "0", "forward": "(start + steps) % 2", "training": ""}[self.writer.kind]
        lines = []
        for matrix in self._own() if step else ():
            heads = dict(self.exchange.matrices)[matrix]
            entry = f"load_value(shared, {self._entry_at(matrix, heads, 'other', True)})"
            lines += [
                f"for other in range({self.shape.each(heads)}):",
                f"    {self._outside(matrix, step)} = {entry}",
            ]
        return lines
