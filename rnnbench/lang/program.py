"""What a cell's traced step is: a graph, and everything that follows from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from rnnbench.errors import RnnbenchError
from rnnbench.lang import ops
from rnnbench.lang.ops import Affine, Node, walk
from rnnbench.lang.sizes import HIDDEN, Sizes
from rnnbench.lang.stages import Stage, schedule


@dataclass(frozen=True, eq=False)
class Program:
    """A traced cell: its step as a graph, and everything that follows from the graph.

    ``next_states`` maps each state to the node of its value after the step, in the declared order; ``output`` names the
    state that is the cell's output. ``params`` lists parameter names in the order of their first use, "W.r" for the
    matrix behind ``x.r``. ``names`` gives the author's variable name of a node, where there is one. ``hyper`` holds
    the hyper-parameters that the trace was made with, ``sizes`` the name of every vector's size. ``matrices`` maps each
    matrix state to its number of heads. ``exports`` are values that go to a matrix state that is run apart from the
    program (``rnnbench.lang.chunks``).
    """

    name: str
    next_states: dict[str, Node]
    output: str
    params: tuple[str, ...]
    names: dict[Node, str]
    hyper: dict[str, float]
    sizes: Sizes
    matrices: dict[str, int] = field(default_factory=dict)
    exports: dict[str, Node] = field(default_factory=dict)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the state vectors."""
        return tuple(self.next_states)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the step, arguments before results, and otherwise in the author's order."""
        return tuple(walk([*self.names, *self.next_states.values(), *self.exports.values()]))

    @cached_property
    def affines(self) -> tuple[Node, ...]:
        """The pre-activations, in order of use."""
        return tuple(n for n in self.nodes if n.op is ops.AFFINE)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The step cut at its recurrent products."""
        return schedule([*self.next_states.values(), *self.exports.values()])

    @cached_property
    def gates(self) -> int:
        """Pre-activations per unit: the distinct names among input projections and recurrent products."""
        return len({name.split(".")[1] for name in self.params if name[0] in "WR"})

    @cached_property
    def carried(self) -> frozenset[str]:
        """The states that a step reads: what is carried on, where another state is an output and no more."""
        return frozenset(str(node.value) for node in self.nodes if node.op is ops.STATE)

    @cached_property
    def recurrence(self) -> str:
        """The class proved from the graph: "dense", "matrix", "elementwise" or "linear".

        dense: a product reads the state. linear: no product reads it, and every new state is affine in the old ones
        with coefficients that do not depend on them, so steps compose associatively. matrix: there is a matrix state,
        and no product with weights reads a state. elementwise: all else. A state that no step reads, such as an
        output, does not count: it is no part of the recurrence.
        """
        recurring = [node for state, node in self.next_states.items() if state in self.carried]
        degree: dict[Node, int] = {}  # in the old states: 0 free of them, 1 affine, 2 anything else
        for node in walk(recurring):
            d = [degree[a] for a in node.args]
            if node.op is ops.STATE:
                degree[node] = 1
            elif node.op is ops.AFFINE:
                if any(d):
                    return "dense"
                degree[node] = 0
            elif node.op in ops.OVER_UNITS and any(d) and not self.matrices:
                return "dense"
            elif node.op in (ops.ADD, ops.SUB, ops.NEG):
                degree[node] = max(d)
            elif node.op is ops.MUL:
                degree[node] = min(sum(d), 2)
            elif node.op is ops.DIV:
                degree[node] = d[0] if d[1] == 0 else 2
            elif node.op is ops.WHERE:
                degree[node] = max(d[1:]) if d[0] == 0 else 2
            else:
                degree[node] = 2 if any(d) else 0
        if self.matrices:
            return "matrix"
        return "linear" if all(degree[n] <= 1 for n in recurring) else "elementwise"

    @cached_property
    def smooth(self) -> bool:
        """Whether the derivative is continuous: no relu, where or floor, at whose kinks rounding decides it."""
        return not any(node.op in (ops.RELU, ops.WHERE, ops.FLOOR) for node in self.nodes)

    def units(self, size: str, hidden: int) -> int:
        """Return how many units a size has: H, or a hyper-parameter's share of H, at least one."""
        return hidden if size == HIDDEN else max(1, round(self.hyper[size] * hidden))

    def state_shape(self, state: str, hidden: int) -> tuple[int, ...]:
        """Return the shape of a state of one sequence: [H] or its own size, of a matrix state [heads, H / heads,
        H / heads].

        Raises RnnbenchError where the heads do not divide H.
        """
        if state not in self.matrices:
            return (self.units(self.sizes.states[state], hidden),)
        heads = self.matrices[state]
        units = self.units_of_a_head(heads, hidden)
        return (heads, units, units)

    def state_size(self, hidden: int) -> int:
        """Return the numbers that a sequence carries from step to step; a matrix state has all its entries."""
        return sum(prod(self.state_shape(state, hidden)) for state in self.carried)

    def output_size(self, hidden: int) -> int:
        """Return the number of units of the output."""
        return self.units(self.sizes.states[self.output], hidden)

    def node_size(self, node: Node, hidden: int) -> int:
        """Return the number of units of a vector of the step or of its adjoint."""
        return self.units(self.sizes.of(node), hidden)

    def units_of_a_head(self, heads: int, hidden: int) -> int:
        """Return H / heads; raises RnnbenchError where it is not whole."""
        if hidden % heads:
            wanted = f"a hidden_size that {heads} divides"
            raise RnnbenchError(f"cell {self.name} with {heads} heads takes {wanted}, got {hidden}")
        return hidden // heads

    def check_hidden(self, hidden: int) -> None:
        """Raise RnnbenchError where this hidden size cannot be: heads that do not divide it."""
        for node in self.nodes:
            if node.op in (*ops.OVER_UNITS, *ops.OF_MATRICES):
                self.units_of_a_head(int(node.value), hidden)  # type: ignore[call-overload]

    def shape(self, param: str, input_size: int, hidden: int) -> tuple[int, ...]:
        """Return the shape of a parameter: W [I, H], R [H, H], b and p [H], where no state has another size."""
        units = tuple(self.units(size, hidden) for size in self.sizes.params[param])
        return (input_size, *units) if param[0] == "W" else units

    def param_count(self, input_size: int, hidden: int) -> int:
        """Return the number of trainable values."""
        total = 0
        for param in self.params:
            rows, *columns = self.shape(param, input_size, hidden)
            total += rows * (columns[0] if columns else 1)
        return total

    def flops_per_step(self, input_size: int, hidden: int, pointwise: bool = False) -> int:
        """Return floating-point operations of one forward step of one sequence.

        The products alone by default (2 per multiply-add), as the literature counts, a matrix as often as it is
        multiplied; ``pointwise`` adds one per arithmetic operator or function per unit. Forward + backward is three
        times the products.
        """
        total = 0
        for node in self.affines:
            affine = node.value
            assert isinstance(affine, Affine)
            read = [f"R.{matrix}" for matrix in affine.matrices] + ([f"W.{affine.input}"] if affine.input else [])
            inner = sum(self.shape(matrix, input_size, hidden)[0] for matrix in read)
            total += self.node_size(node, hidden) * (2 * inner + (len(affine.biases) if pointwise else 0))
        for node in self.nodes:
            if node.op in ops.OF_MATRICES:
                # A read is one multiply-add an entry; an update scales each entry and adds its outer products.
                each = 2 if node.op is ops.READ else 2 * (len(node.args) // 2 - 1) + (len(ops.vectors_of(node)) % 2)
                total += each * hidden * self.units_of_a_head(int(node.value), hidden)  # type: ignore[call-overload]
        if pointwise:
            total += sum(n.op.flops * self.node_size(n, hidden) for n in self.nodes)
        return total

    def bytes_per_step(self, input_size: int, hidden: int, itemsize: int = 4, training: bool = False) -> int:
        """Return the bytes that one step of one sequence must move when weights and state stay in cache.

        Inference reads the input and writes the output. Training also writes and later reads the states and the saved
        values, reads the input again, reads the output's gradient and writes the input's.
        """
        output = self.output_size(hidden)
        if not training:
            return itemsize * (input_size + output)
        return itemsize * (3 * input_size + 2 * output + 2 * self.kept_values(hidden))

    def kept_values(self, hidden: int) -> int:
        """Return how many values training keeps of one step of one sequence: its states and what the adjoint saves."""
        states = sum(prod(self.state_shape(state, hidden)) for state in self.states)
        return states + sum(self.node_size(node, hidden) for node in self.adjoint.saved)

    @cached_property
    def adjoint(self):  # -> Adjoint; imported late, since adjoint reads Programs
        """The derived backward step."""
        from rnnbench.lang.adjoint import derive

        return derive(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the program's content: the same equations give the same digest, whatever they are called."""
        index = {node: i for i, node in enumerate(self.nodes)}
        lines = [f"{n.op.name} {[index[a] for a in n.args]} {n.value!r}" for n in self.nodes]
        lines += [f"{state} {index[n]}" for state, n in self.next_states.items()]
        lines += [f"output {self.output}", f"params {self.params}", *([f"{self.matrices}"] if self.matrices else [])]
        lines += [f"size {state} {size}" for state, size in self.sizes.states.items() if size != HIDDEN]
        lines += [f"{name} {index[n]}" for name, n in self.exports.items()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
