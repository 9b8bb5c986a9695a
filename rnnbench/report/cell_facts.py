"""What the report says about a cell itself: its sentence, its source, its equations and its counts.

Derived from the equations where the cell is at hand, and kept in results.json, so that a report that is written
elsewhere, or after the author's file has moved, has them still.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from latex2mathml.converter import convert
from pydantic import BaseModel, ConfigDict, ValidationError

from rnnbench.cells import cells, get_cell
from rnnbench.errors import RnnbenchError
from rnnbench.trials.controls import CONTROLS

SIZES = (128, 128)
"""I and H of the counts."""
# What lang/equations.py writes. A formula from a foreign file with anything else in it is shown as text.
_COMMANDS = {"left", "right", "mathit", "mathrm", "odot", "oslash", "exp", "log", "sqrt", "tanh", "sigma", "top"}
_COMMANDS |= {"lfloor", "rfloor", "ge", "_", ","}


class CellFacts(BaseModel):
    """A cell described, as plain values.

    ``latex``: its equations, one each; ``recurrence``: the proved class, "" of a control; ``params``: names of the
    trained parameters; ``structures``: how parameters are made from others; ``hyper``: hyper-parameters with defaults;
    ``count`` and ``flops``: of parameters, and of a forward step of one sequence, at I = H = 128, None of a control.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    doc: str
    cite: str = ""
    recurrence: str = ""
    states: list[str] = []
    params: list[str] = []
    structures: dict[str, str] = {}
    hyper: dict[str, float] = {}
    latex: list[str] = []
    count: int | None = None
    flops: int | None = None

    @property
    def formulas(self) -> list[str | None]:
        """The equations as MathML; None for one that holds what no equation of a cell does."""
        return [_mathml(line) for line in self.latex]


def describe(name: str) -> CellFacts:
    """Return the facts of the cell or control ``name``; "path/to/mine.py:my_cell" is loaded, and so executed.

    Raises RnnbenchError where there is no such cell.
    """
    if name in CONTROLS:
        return CellFacts(doc=" ".join((CONTROLS[name].__doc__ or "").split()))
    spec = get_cell(name)
    return CellFacts(
        doc=spec.doc,
        cite=spec.cite,
        recurrence=spec.recurrence,
        states=list(spec.states),
        params=list(spec.params),
        structures=dict(spec.structures),
        hyper={key: float(value) for key, value in spec.hyper.items()},
        latex=spec.latex(),
        count=spec.param_count(*SIZES),
        flops=spec.flops_per_step(*SIZES),
    )


def names_in(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every cell that records are about, sorted."""
    about = (record.get("trial") or record for record in records)
    return sorted({str(held["cell"]) for held in about if held.get("cell")})


def facts_of(names: Iterable[str], stored: Mapping[str, Any]) -> dict[str, CellFacts]:
    """Return what is known of each cell: what is ``stored`` of it, else what the cell of this name here says.

    A report executes no file that records merely name.
    """
    found = {}
    here = {*cells(), *CONTROLS}
    for name in names:
        if name in stored:
            found[name] = read_facts(name, stored[name])
        elif name in here:
            found[name] = describe(name)
    return found


def read_facts(name: str, body: Any) -> CellFacts:
    """Return the facts that a results file holds, or raise RnnbenchError."""
    try:
        return CellFacts.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RnnbenchError(f"what the results say on cell {name!r} cannot be read: {place}: {first['msg']}") from error


@functools.cache
def _mathml(latex: str) -> str | None:
    commands = re.findall(r"\\([A-Za-z]+|.)", latex)
    if not set(commands) <= _COMMANDS or re.search(r"[<>&\"'$#%]", latex):
        return None
    # A name of several letters is one identifier; MathML sets those upright unless told otherwise.
    return convert(latex, display="block")
