"""The ``@cell`` decorator and what it makes: a cell's specification."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from math import prod

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.lang.ops import whole_heads
from rnnbench.lang.program import Program
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.trace import Equations, trace
from rnnbench.lang.weights import declared, free_shapes


class CellSpec:
    """A recurrent cell: its equations, its documentation, and what is derived from them.

    ``init`` maps parameters ("R.h", or "R" for all recurrent matrices) to an initialiser of ``rnnbench.nn``: a name
    ("identity", "orthogonal", "normal(0.001)", ...) or a number. ``structures`` maps parameters to one of
    ``rnnbench.lang.weights`` ("antisymmetric", "low_rank(8)", ...). ``sizes`` maps states of another size than H to
    the hyper-parameter that gives it as a share of H. The attributes ``states``, ``gates``, ``params``, ``recurrence``
    and the counts describe the cell with its default hyper-parameters.
    """

    def __init__(
        self,
        function: Equations,
        states: str,
        output: str | None,
        init: Mapping[str, str | float] | None,
        structures: Mapping[str, str] | None = None,
        matrices: Mapping[str, str] | None = None,
        sizes: Mapping[str, str] | None = None,
    ) -> None:
        self.function = function
        self.name: str = function.__name__  # type: ignore[attr-defined]
        self.init: dict[str, str | float] = dict(init or {})
        self.structures: dict[str, str] = dict(structures or {})
        self.matrices: dict[str, str] = dict(matrices or {})
        self.sizes: dict[str, str] = dict(sizes or {})
        self._declared = tuple(states.split())
        self._output = output if output is not None else (self._declared or ("",))[0]
        self._programs: dict[tuple[tuple[str, float], ...], Program] = {}
        self.hyper: dict[str, float] = {
            p.name: p.default for p in inspect.signature(function).parameters.values() if p.default is not p.empty
        }
        if not self._declared or len(set(self._declared)) < len(self._declared):
            raise RnnbenchError(f"cell {self.name}: states must name at least one state, each once, got {states!r}")
        if self._output not in self._declared:
            raise RnnbenchError(f"cell {self.name}: output {output!r} is not one of its states {self._declared}")
        for state, heads in self.matrices.items():
            if state not in self._declared:
                raise RnnbenchError(f"cell {self.name}: matrices {state!r} is not one of its states {self._declared}")
            if heads not in self.hyper:
                raise RnnbenchError(
                    f"cell {self.name}: matrices maps {state!r} to {heads!r}, which is no hyper-parameter of its step: "
                    "it takes the name of the one that is the number of heads"
                )
        if self._output in self.matrices:
            raise RnnbenchError(
                f"cell {self.name}: its output {self._output!r} is a matrix state: name a vector's with output="
            )
        for state, size in self.sizes.items():
            if state not in self._declared:
                raise unknown(f"state in sizes of {self.name}", state, self._declared)
            if state in self.matrices:
                raise RnnbenchError(
                    f"cell {self.name}: a matrix state's keys and values have size H, and sizes gives {state} another"
                )
            if size not in self.hyper or size == HIDDEN:
                raise RnnbenchError(
                    f"cell {self.name}: the size of state {state} is named by a hyper-parameter of the step, "
                    f"an argument with a default and not called H, got {size!r}"
                )

    def __repr__(self) -> str:
        return f"<cell {self.name}>"

    def trace(self, **hyper: float) -> Program:
        """Return the Program for these hyper-parameters (defaults for those not given)."""
        for name, value in hyper.items():
            if name not in self.hyper:
                if not self.hyper:
                    raise RnnbenchError(f"cell {self.name} has no hyper-parameters, got {name}={value!r}")
                raise unknown(f"hyper-parameter of {self.name}", name, self.hyper)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise RnnbenchError(f"hyper-parameter {name} of {self.name} takes a number, got {value!r}")
        chosen = self.hyper | hyper
        for name in set(self.sizes.values()):
            if not 0 < chosen[name] < float("inf"):
                raise RnnbenchError(
                    f"hyper-parameter {name} of {self.name} is a size as a share of H, above 0, got {chosen[name]!r}"
                )
        key = tuple(sorted(chosen.items()))
        if key not in self._programs:
            matrices = {state: whole_heads(chosen[heads]) for state, heads in self.matrices.items()}
            self._programs[key] = trace(
                self.name, self.function, self._declared, self._output, chosen, matrices, self.sizes
            )
        return self._programs[key]

    @property
    def program(self) -> Program:
        """The Program with the default hyper-parameters."""
        return self.trace()

    @property
    def _paragraphs(self) -> list[str]:
        module_doc = self.function.__globals__.get("__doc__")  # type: ignore[attr-defined]
        text = inspect.getdoc(self.function) or module_doc or ""
        return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]

    @property
    def doc(self) -> str:
        """What the cell is, in a sentence or two."""
        return " ".join(self._paragraphs[:-1] or self._paragraphs)

    @property
    def cite(self) -> str:
        """Where the equations come from: the last paragraph of the cell's docstring."""
        return self._paragraphs[-1] if len(self._paragraphs) > 1 else ""

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the state vectors."""
        return self._declared

    @property
    def output(self) -> str:
        """The state that is the cell's output."""
        return self._output

    @property
    def gates(self) -> int:
        """Pre-activations per unit."""
        return self.program.gates

    @property
    def params(self) -> tuple[str, ...]:
        """Parameter names: "W.i" [I, H], "R.i" [H, H], "b.i" [H], "p.u" [H]; with ``sizes``, as these say."""
        return self.program.params

    @property
    def recurrence(self) -> str:
        """The proved class of recurrence: "dense", "matrix", "elementwise" or "linear"."""
        return self.program.recurrence

    @property
    def digest(self) -> str:
        """SHA-256 of the equations, and the initialisation, structure and default sizes of the weights."""
        sizes = sorted((state, self.hyper[size]) for state, size in self.sizes.items())
        return f"{self.program.digest}{sorted(self.init.items())}{sorted(self.structures.items()) or ''}{sizes or ''}"

    def flops_per_step(self, input_size: int, hidden: int, pointwise: bool = False) -> int:
        """Return the operations of one forward step of one sequence (see Program.flops_per_step)."""
        return self.program.flops_per_step(input_size, hidden, pointwise)

    def bytes_per_step(self, input_size: int, hidden: int, itemsize: int = 4, training: bool = False) -> int:
        """Return the bytes that one step of one sequence must move (see Program.bytes_per_step)."""
        return self.program.bytes_per_step(input_size, hidden, itemsize, training)

    def param_count(self, input_size: int, hidden: int, **hyper: float) -> int:
        """Return the number of trainable values, with these hyper-parameters (defaults for those not given)."""
        program = self.trace(**hyper)
        found = declared(self.structures, program.params, program.hyper)
        shapes = free_shapes(found, program.params, lambda name: program.shape(name, input_size, hidden))
        return sum(prod(shape) for shape in shapes.values())

    def equations(self) -> list[str]:
        """Return the equations as the trace sees them, one assignment each, in Python's notation."""
        from rnnbench.lang.equations import plain

        return plain(self.program)

    def latex(self) -> list[str]:
        """Return the equations in LaTeX, one each."""
        from rnnbench.lang.equations import latex

        return latex(self.program)


def cell(
    states: str,
    output: str | None = None,
    init: Mapping[str, str | float] | None = None,
    structures: Mapping[str, str] | None = None,
    matrices: Mapping[str, str] | None = None,
    sizes: Mapping[str, str] | None = None,
) -> Callable[[Equations], CellSpec]:
    """Declare a function as a cell.

    ``states`` names its state arguments, separated by blanks, in the order in which it returns their new values; the
    first is the output unless ``output`` names another. ``init`` gives initialisers that differ from the default,
    ``structures`` those of weights (``rnnbench.lang.weights``). ``matrices`` maps a state that is a matrix for each
    head (``rnnbench.lang.matrix_state``) to the hyper-parameter that is the number of heads.
    ``sizes={"h": "projection"}`` gives a state another size than H: a share of H, rounded to a whole number of at
    least 1, that is the hyper-parameter ``projection``. The sizes of all other vectors and of the parameters follow.
    """
    return lambda function: CellSpec(function, states, output, init, structures, matrices, sizes)
