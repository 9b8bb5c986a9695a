"""Run a cell's step on symbols and derive what the rest of rnnbench needs to know about it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import CodeType, FrameType

from rnnbench.errors import RnnbenchError
from rnnbench.lang import ops
from rnnbench.lang.mistakes import NotYetAValue, line_of_equality, line_with, mistake, raised_in_step
from rnnbench.lang.ops import Affine, Node, make, walk
from rnnbench.lang.stages import Stage, schedule

Equations = Callable[..., object]


@dataclass(frozen=True, eq=False)
class Program:
    """A traced cell: its step as a graph, and everything that follows from the graph.

    ``next_states`` maps each state to the node of its value after the step, in the declared order; ``output`` names the
    state that is the cell's output. ``params`` lists parameter names in the order of their first use, "W.r" for the
    matrix behind ``x.r``. ``names`` gives the author's variable name of a node, where there is one. ``hyper`` holds
    the hyper-parameters that the trace was made with.
    """

    name: str
    next_states: dict[str, Node]
    output: str
    params: tuple[str, ...]
    names: dict[Node, str]
    hyper: dict[str, float]

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the state vectors."""
        return tuple(self.next_states)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the step, arguments before results, and otherwise in the author's order."""
        return tuple(walk([*self.names, *self.next_states.values()]))

    @cached_property
    def affines(self) -> tuple[Node, ...]:
        """The pre-activations, in order of use."""
        return tuple(n for n in self.nodes if n.op is ops.AFFINE)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The step cut at its recurrent products."""
        return schedule(self.next_states.values())

    @cached_property
    def gates(self) -> int:
        """Pre-activations per unit: the distinct names among input projections and recurrent products."""
        return len({name.split(".")[1] for name in self.params if name[0] in "WR"})

    @cached_property
    def recurrence(self) -> str:
        """The class proved from the graph: "dense", "elementwise" or "linear".

        dense: a product reads the state. linear: no product reads it, and every new state is affine in the old ones
        with coefficients that do not depend on them, so steps compose associatively. elementwise: all else. A state
        that no step reads, such as an output, does not count: it is no part of the recurrence.
        """
        read = {str(n.value) for n in self.nodes if n.op is ops.STATE}
        recurring = [node for state, node in self.next_states.items() if state in read]
        degree: dict[Node, int] = {}  # in the old states: 0 free of them, 1 affine, 2 anything else
        for node in walk(recurring):
            d = [degree[a] for a in node.args]
            if node.op is ops.STATE:
                degree[node] = 1
            elif node.op is ops.AFFINE:
                if any(d):
                    return "dense"
                degree[node] = 0
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
        return "linear" if all(degree[n] <= 1 for n in recurring) else "elementwise"

    @cached_property
    def smooth(self) -> bool:
        """Whether the derivative is continuous: no relu, where or floor, at whose kinks rounding decides it."""
        return not any(node.op in (ops.RELU, ops.WHERE, ops.FLOOR) for node in self.nodes)

    def shape(self, param: str, input_size: int, hidden: int) -> tuple[int, ...]:
        """Return the shape of a parameter: W [I, H], R [H, H], b and p [H]."""
        return {"W": (input_size, hidden), "R": (hidden, hidden)}.get(param[0], (hidden,))

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
            total += 2 * hidden * ((input_size if affine.input else 0) + hidden * len(affine.matrices))
        if pointwise:
            biases = sum(len(n.value.biases) for n in self.affines)  # type: ignore[attr-defined]
            total += hidden * (biases + sum(n.op.flops for n in self.nodes))
        return total

    def bytes_per_step(self, input_size: int, hidden: int, itemsize: int = 4, training: bool = False) -> int:
        """Return the bytes that one step of one sequence must move when weights and state stay in cache.

        Inference reads the input and writes the output. Training also writes and later reads the states and the saved
        values, reads the input again, reads the output's gradient and writes the input's.
        """
        if not training:
            return itemsize * (input_size + hidden)
        kept = len(self.states) + len(self.adjoint.saved)
        return itemsize * (3 * input_size + hidden * (2 + 2 * kept))

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
        lines += [f"output {self.output}", f"params {self.params}"]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Names(NotYetAValue):
    """What a step receives as ``x``, ``R``, ``b`` or ``p``: any attribute is a symbol of that name."""

    def __init__(self, kind: str, used: dict[str, None], symbol: Callable[[str], object]) -> None:
        super().__init__(kind, f"give it a name, as in {_EXAMPLES[kind]}")
        self._kind, self._used, self._symbol = kind, used, symbol

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(f"a parameter's name does not begin with an underscore: {self._kind}.{name}")
        self._used[f"{'W' if self._kind == 'x' else self._kind}.{name}"] = None
        return self._symbol(name)


class Matrix(NotYetAValue):
    """A recurrent matrix, to be called on what it multiplies."""

    def __init__(self, name: str) -> None:
        super().__init__(f"R.{name}", f"call it on what it multiplies, as in R.{name}(h)")
        self._name = name

    def __call__(self, operand: ops.Operand) -> Node:
        return make(ops.PRODUCT, (ops.as_node(operand),), self._name)


_COMPARISON = "write where(a >= b, x, y)"
_EXAMPLES = {"x": "x.h", "R": "R.h(h)", "b": "b.h", "p": "p.u"}


def _run(name: str, function: Equations, symbols: dict[str, object]) -> tuple[object, dict[str, object], int]:
    """Call the step; also return its local variables, so that equations keep the author's names, and its last line."""
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    captured: dict[str, object] = {}
    lines = [code.co_firstlineno]

    def on_event(frame: FrameType, event: str, argument: object) -> None:
        if event == "return" and frame.f_code is code:
            captured.update(frame.f_locals)
            lines.append(frame.f_lineno)

    def run() -> object:
        sys.setprofile(on_event)
        return function(**symbols)

    # A thread has a profile hook of its own: the caller's, a profiler's perhaps, stays as it is.
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            returned = thread.submit(run).result()
        except Exception as error:  # whatever the author's code may raise
            raise raised_in_step(name, code, error) from error
    return returned, captured, lines[-1]


def _returned(
    name: str, place: tuple[CodeType, int], values: tuple[object, ...], states: tuple[str, ...]
) -> dict[str, Node]:
    """Return the node of each state's new value."""
    if len(values) != len(states):
        got, declared = (f"{n} {noun}{'s' * (n != 1)}" for n, noun in ((len(values), "value"), (len(states), "state")))
        raise mistake(name, *place, f"returns {got} but declares {declared}: {', '.join(states)}")
    nodes = {}
    for state, value in zip(states, values, strict=True):
        try:
            nodes[state] = ops.as_node(value)  # type: ignore[arg-type]
        except RnnbenchError as error:
            raise mistake(name, *place, f"what it returns for state {state!r} is no value: {error}") from error
        if nodes[state].op is ops.GE:
            raise mistake(name, *place, f"what it returns for state {state!r} is a comparison: {_COMPARISON}")
    return nodes


def _refuse_comparisons(name: str, code: CodeType, raw: dict[str, Node], local: dict[str, object]) -> None:
    """Raise where a comparison was calculated with, or where Python has decided one by itself."""
    if any(a.op is ops.GE for n in walk(raw.values()) if n.op is not ops.WHERE for a in n.args):
        raise mistake(
            name, code, line_with(code, ">=", "<="), f"a comparison is no value to calculate with: {_COMPARISON}"
        )
    symbols = {variable for variable, value in local.items() if isinstance(value, (Node, NotYetAValue))}
    line = line_of_equality(code, symbols)
    if line is not None:
        said = "a symbol has no value to be equal to: comparisons are >= and <=, inside where(a >= b, x, y)"
        raise mistake(name, code, line, said)


def trace(name: str, function: Equations, states: tuple[str, ...], output: str, hyper: dict[str, float]) -> Program:
    """Run ``function`` on symbols and return its Program.

    ``states`` are its state arguments in the order in which it returns them; ``output`` is one of them; ``hyper`` are
    values for its keyword arguments. Raises RnnbenchError, with file and line, for a step that is not a cell.
    """
    used: dict[str, None] = {}
    symbols: dict[str, object] = {
        "x": Names("x", used, lambda n: make(ops.INPUT, value=n)),
        "R": Names("R", used, Matrix),
        "b": Names("b", used, lambda n: make(ops.UNIT, value=f"b.{n}")),
        "p": Names("p", used, lambda n: make(ops.UNIT, value=f"p.{n}")),
    }
    symbols |= {state: make(ops.STATE, value=state) for state in states}
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    wanted = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    unknown = [w for w in wanted if w not in symbols and w not in hyper]
    if unknown:
        raise mistake(
            name,
            code,
            line_with(code, unknown[0]),
            f"argument {unknown[0]!r} is neither x, R, b, p, a declared state ({', '.join(states)}) "
            "nor a hyper-parameter with a default",
        )
    returned, local, line = _run(name, function, {w: symbols[w] if w in symbols else hyper[w] for w in wanted})
    values = returned if isinstance(returned, tuple) else () if returned is None else (returned,)
    raw = _returned(name, (code, line), values, states)
    _refuse_comparisons(name, code, raw, local)
    memo = _form_affines(list(raw.values()))
    alive = set(walk(memo[n] for n in raw.values()))
    names: dict[Node, str] = {}
    for variable, value in sorted(local.items(), key=lambda item: item[0] in states):
        if isinstance(value, Node) and value in memo and memo[value].args and memo[value] in alive:
            names.setdefault(memo[value], variable)
    reached = {_parameter(n) for n in memo}
    params = tuple(sorted((p for p in used if p in reached), key=lambda p: "WRbp".index(p[0])))
    return Program(name, {s: memo[n] for s, n in raw.items()}, output, params, names, dict(hyper))


def _parameter(node: Node) -> str | None:
    """Return the name of the parameter that a traced leaf or product stands for."""
    if node.op is ops.UNIT:
        return str(node.value)
    return {ops.INPUT: f"W.{node.value}", ops.PRODUCT: f"R.{node.value}"}.get(node.op)


def _terms(node: Node, is_inner: Callable[[Node], bool]) -> Iterator[Node]:
    """Yield the terms of a sum, left to right, descending into additions that nothing else reads."""
    for argument in node.args:
        if argument.op is ops.ADD and is_inner(argument):
            yield from _terms(argument, is_inner)
        else:
            yield argument


def _form_affines(roots: list[Node]) -> dict[Node, Node]:
    """Gather projections, products and biases that are only added together into one pre-activation each.

    Returns the rewritten node of every node. A term that something else reads too becomes a pre-activation of its own.
    """
    order = walk(roots)
    readers: dict[Node, int] = dict.fromkeys(order, 0)
    for node in order:
        for argument in node.args:
            readers[argument] += 1
    for root in roots:
        readers[root] += 1
    inner = {a for n in order if n.op is ops.ADD for a in n.args if a.op is ops.ADD and readers[a] == 1}
    memo: dict[Node, Node] = {}

    def affine(terms: list[Node]) -> Node:
        inputs = [t.value for t in terms if t.op is ops.INPUT]
        products = [t for t in terms if t.op is ops.PRODUCT]
        biases = tuple(t.value for t in terms if t.op is ops.UNIT)
        value = Affine(
            inputs[0] if inputs else None,  # type: ignore[arg-type]
            tuple(t.value for t in products),  # type: ignore[misc]
            biases,  # type: ignore[arg-type]
        )
        return make(ops.AFFINE, (memo[t.args[0]] for t in products), value)

    for node in order:
        if node.op in (ops.INPUT, ops.PRODUCT):
            memo[node] = affine([node])
        elif node.op is ops.ADD and node not in inner:
            terms = list(_terms(node, lambda n: n in inner))
            taken: list[Node] = []
            for term in terms:
                linear = term.op in (ops.INPUT, ops.PRODUCT) or (
                    term.op is ops.UNIT and str(term.value).startswith("b.")
                )
                second_input = term.op is ops.INPUT and any(t.op is ops.INPUT for t in taken)
                if linear and readers[term] == 1 and not second_input:
                    taken.append(term)
            if all(t.op is ops.UNIT for t in taken):
                taken = []
            rest = [memo[t] for t in terms if t not in taken]
            total = affine(taken) if taken else rest.pop(0)
            for term in rest:
                total = ops.add(total, term)
            memo[node] = total
        elif node not in inner and node.args:
            memo[node] = make(node.op, (memo[a] for a in node.args), node.value)
        else:
            memo[node] = node
    return memo
