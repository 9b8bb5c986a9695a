"""Reverse mode over a Program: its backward step, and what to save of the forward and what to compute again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from rnnbench.lang import ops
from rnnbench.lang.ops import Affine, Node, make, walk
from rnnbench.lang.stages import Stage, schedule
from rnnbench.lang.trace import Program

# Cost of keeping one vector from the forward step to the backward one, in units of a vector multiply: a cache line
# written, its old content read for ownership, and read back, at about 10 GB/s a core, is some 50 such operations.
SAVE_COST = 40
_NEVER = 1 << 30


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The backward step of a Program.

    Its leaves are UPSTREAM (a state's gradient from later steps), OUTPUT_GRADIENT, and values of the forward step:
    those in ``saved`` are stored by the training forward, states before and after the step are kept anyway, and all
    others are computed again. ``states`` maps each state to the gradient of its value before the step, ``affines`` each
    pre-activation to its gradient (from which those of W, R and folded biases follow), ``units`` each per-unit vector
    to its gradient before summing over batch and time. A missing entry is zero.
    """

    program: Program
    saved: tuple[Node, ...]
    states: dict[str, Node]
    affines: dict[Node, Node]
    units: dict[str, Node]

    @cached_property
    def operands(self) -> tuple[Node, ...]:
        """Arguments of recurrent products other than plain states: the backward step writes them for dR."""
        arguments = {a: None for n in self.affines for a in n.args if a.op is not ops.STATE}
        return tuple(arguments)

    @cached_property
    def outputs(self) -> tuple[Node, ...]:
        """Every node that the backward step has to compute."""
        return tuple(
            dict.fromkeys([*self.states.values(), *self.affines.values(), *self.units.values(), *self.operands])
        )

    def given(self, node: Node) -> bool:
        """Tell whether the backward step reads this forward value instead of computing it."""
        return node in self._given

    @cached_property
    def _given(self) -> frozenset[Node]:
        return frozenset((*self.saved, *self.program.next_states.values()))

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The backward step cut at its transposed products."""
        return schedule(self.outputs, self.given)


def derive(program: Program) -> Adjoint:
    """Return the adjoint of a program's step."""
    gradient: dict[Node, Node] = {}
    through: dict[Node, list[tuple[str, Node]]] = {}  # operand -> (matrix, gradient of the product with it)
    states: dict[str, Node] = {}
    affines: dict[Node, Node] = {}
    units: dict[str, Node] = {}

    def accumulate(node: Node, value: Node) -> None:
        gradient[node] = ops.add(gradient[node], value) if node in gradient else value

    for state, node in program.next_states.items():
        upstream = make(ops.UPSTREAM, value=state)
        if state == program.output:
            upstream = ops.add(make(ops.OUTPUT_GRADIENT), upstream)
        accumulate(node, upstream)
    for node in reversed(program.nodes):
        if node in through:
            matrices, arguments = zip(*through[node], strict=True)
            accumulate(node, make(ops.TRANSPOSED, arguments, matrices))
        g = gradient.get(node)
        if g is None:
            continue
        if node.op is ops.STATE:
            states[str(node.value)] = g
        elif node.op is ops.UNIT:
            units[str(node.value)] = g
        elif node.op is ops.AFFINE:
            affines[node] = g
            affine = node.value
            assert isinstance(affine, Affine)
            for matrix, operand in zip(affine.matrices, node.args, strict=True):
                through.setdefault(operand, []).append((matrix, g))
        elif node.op.derivative is not None:
            for argument, part in zip(node.args, node.op.derivative(g, node, *node.args), strict=True):
                if part is not None and argument.op is not ops.CONST:
                    accumulate(argument, part)
    order = {a: affines[a] for a in program.affines if a in affines}
    outputs = [*states.values(), *order.values(), *units.values()]
    outputs += [a for n in order for a in n.args if a.op is not ops.STATE]
    return Adjoint(program, _choose_saved(program, outputs), states, order, units)


def _choose_saved(program: Program, outputs: Iterable[Node]) -> tuple[Node, ...]:
    """Choose the forward values to store so that storing plus computing again costs least: a minimum cut.

    Two binary variables a value: present (needed in the backward step) and recomputed. A present value that is not
    recomputed is stored; a recomputed one needs its arguments present.
    """
    forward = set(program.nodes)
    kept_anyway = set(program.next_states.values())
    reached = walk(outputs, stop=lambda n: n in forward)
    needed = [n for n in reached if n in forward and (n.args or n.op is ops.AFFINE)]
    capacity: dict[object, dict[object, int]] = {}

    def edge(start: object, end: object, limit: int) -> None:
        capacity.setdefault(start, {})[end] = limit
        capacity.setdefault(end, {}).setdefault(start, 0)

    for node in program.nodes:
        if not node.args and node.op is not ops.AFFINE or node in kept_anyway:
            continue
        # A condition has no array to be stored in; it is always made again from what it compares.
        edge(("again", node), ("present", node), _NEVER if node.op is ops.GE else SAVE_COST)
        edge("source", ("again", node), _NEVER if node.op is ops.AFFINE else node.op.cost)
        for argument in node.args:
            if argument not in kept_anyway and (argument.args or argument.op is ops.AFFINE):
                edge(("present", argument), ("again", node), _NEVER)
    for node in needed:
        if node not in kept_anyway:
            edge(("present", node), "sink", _NEVER)
    source_side = _minimum_cut(capacity)
    return tuple(
        n
        for n in program.nodes
        if ("present", n) in capacity and ("present", n) not in source_side and ("again", n) in source_side
    )


def _minimum_cut(capacity: dict[object, dict[object, int]]) -> set[object]:
    """Return the source side of a minimum cut (Edmonds and Karp 1972); ``capacity`` becomes the residual graph."""
    while True:
        previous: dict[object, object] = {"source": None}
        queue = deque(["source"])
        while queue and "sink" not in previous:
            here = queue.popleft()
            for there, left in capacity.get(here, {}).items():
                if left > 0 and there not in previous:
                    previous[there] = here
                    queue.append(there)  # type: ignore[arg-type]
        if "sink" not in previous:
            return set(previous)
        path, here = [], "sink"
        while previous[here] is not None:
            path.append((previous[here], here))
            here = previous[here]  # type: ignore[assignment]
        flow = min(capacity[a][b] for a, b in path)
        for a, b in path:
            capacity[a][b] -= flow
            capacity[b][a] += flow
