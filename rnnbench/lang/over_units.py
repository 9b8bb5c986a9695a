"""What a step does across units without weights, as rows of streams: sums over units, and all of matrix states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnbench.lang import ops
from rnnbench.lang.ops import Node
from rnnbench.lang.program import Program
from rnnbench.lang.stages import Stage
from rnnbench.lang.tiles import Stream, argument_names, result_names

# What each stream of a row is for, in their order.
PLACES = ("matrix", "value", "target", "decay", "key", "key 2", "value 2")


@dataclass(frozen=True)
class OverUnits:
    """Where the operations over units of a step find their vectors and matrices.

    ``arguments`` and ``results`` name vectors; an update writes the stream of kind ``after``.
    """

    arguments: Mapping[Node, str]
    results: Mapping[Node, str]
    after: str

    @classmethod
    def of(cls, program: Program, stages: Sequence[Stage], after: str) -> OverUnits:
        """Return those of a program's step or of its adjoint's."""
        return cls(argument_names(program, stages), result_names(program, stages), after)

    def rows(self, node: Node) -> list[tuple[int, list[Stream | None]]]:
        """Return what to run for a node, one after the other: number of heads, and streams in the order of PLACES."""

        def vector(argument: Node) -> Stream:
            return Stream("argument", self.arguments[argument])

        heads = int(node.value)  # type: ignore[call-overload]
        if node.op in ops.OVER_UNITS:
            result = Stream("result", self.results[node])
            return [(heads, [None, vector(node.args[0]), result, None, None, None, None])]
        if node.op is not ops.UPDATE:
            result, matrix = Stream("result", self.results[node]), _matrix(node.args[0])
            other = _matrix(node.args[1]) if node.op is ops.ROWDOT else vector(node.args[1])
            value, key = (None, other) if node.op is ops.READ else (other, None)
            return [(heads, [matrix, value, result, None, key, None, None])]
        state, decay, *pairs = node.args
        factor = None if decay not in ops.vectors_of(node) else vector(decay)
        source, target, rows = _matrix(state), Stream(self.after, str(state.value)), []
        # Two outer products go in at once, further ones into what is then there.
        for first in range(0, max(len(pairs), 1), 4):
            key, value, key_2, value_2 = [*map(vector, pairs[first : first + 4]), None, None, None, None][:4]
            rows.append((heads, [source, value, target, factor, key, key_2, value_2]))
            source, factor = target, None
        return rows


def _matrix(node: Node) -> Stream:
    return Stream("state" if node.op is ops.STATE else "upstream", str(node.value))
