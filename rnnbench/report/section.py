"""What a section of the report is, and what it is made from.

A section is a function from ``Evidence`` to ``Section``, named in ``rnnbench.report.sections.SECTIONS``: that is all it
takes to add one. The page, the summary, the filters, the downloads and the table of contents follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnnbench.report.figures import Figure
from rnnbench.report.palette import Palette
from rnnbench.report.tables import Table


@dataclass(frozen=True)
class Evidence:
    """All that a section may draw on.

    ``records``: of every kind, in the form of ``docs/design.md``; ``palette``: the colour and shape of every cell in
    them; ``history``: asv's values over commits (``rnnbench.report.asv_results``), empty for a run of rnnbench.
    """

    records: Sequence[Mapping[str, Any]]
    palette: Palette
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A part of the report: a heading with its anchor, paragraphs, figures and tables, shown in this order.

    ``anchor``: letters, digits and hyphens, different from all others. ``text``: plain paragraphs; whatever comes from
    records may stand in them as it is, since every way of showing a section escapes it. ``figures`` and ``tables`` have
    names that no other section uses: they become anchors and file names.

    The page's filters act on all of it by these rules. In a table, the columns headed "cell", "task" and "engine" (or
    "contender", "peer") say what a row is about, and a heading that begins "adding: " says that its column is about the
    task adding. In a figure, the fields of these names in its data do, and ``Figure.about`` for the whole of it.
    """

    anchor: str
    title: str
    text: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing was measured that it could show: text alone is no reason for a section."""
        return not self.figures and not self.tables


SectionMaker = Callable[[Evidence], Section]


def some(found: Table | None) -> list[Table]:
    """Return the table in a list, or an empty list where there is none."""
    return [] if found is None else [found]
