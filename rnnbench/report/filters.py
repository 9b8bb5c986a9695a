"""What the page can be narrowed to: the cells, tasks and engines that its tables and figures are about.

A table's rows are about what stands in the columns headed so; a column, about the task that its heading begins with;
the data of a figure, about the values of the fields of these names, and a whole figure, about its ``about``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rnnbench.report.figure import Figure
from rnnbench.report.tables import Table

COLUMNS: Mapping[str, str] = {
    "cell": "cell",
    "task": "task",
    "engine": "engine",
    "contender": "engine",
    "peer": "engine",
}
"""Heading of a column, or field of a figure's data -> what it is about."""


def base_name(cell: str) -> str:
    """Return the cell of a name that says how its trials were set apart as well: "lstm (hidden=32)"."""
    return cell.partition(" (")[0]


def about(column: str, value: str) -> tuple[str, str] | None:
    """Return (kind, name) that an entry of this column says, or None where it says nothing that can be filtered."""
    kind = COLUMNS.get(column)
    if kind is None or value in ("", "—"):
        return None
    return kind, base_name(value) if kind == "cell" else value


def row_about(table: Table, row: int) -> dict[str, str]:
    """Return what a row of a table is about, by kind."""
    pairs = zip(table.columns, table.rows[row], strict=True)
    return dict(found for column, entry in pairs if (found := about(column, entry.text)) is not None)


@dataclass(frozen=True)
class Filters:
    """The names that each kind of filter offers, sorted; a kind with a single name offers nothing."""

    cell: Sequence[str]
    task: Sequence[str]
    engine: Sequence[str]

    def column_task(self, heading: str) -> str:
        """Return the task that a column is about, or ""."""
        return next((task for task in self.task if heading.startswith(f"{task}: ")), "")

    def offered(self) -> list[tuple[str, Sequence[str]]]:
        """Return each kind that has something to choose from, with its names."""
        return [(kind, names) for kind in ("cell", "task", "engine") if len(names := getattr(self, kind)) > 1]


def filters_of(figures: Iterable[Figure], tables: Iterable[Table]) -> Filters:
    """Return what figures and tables are about."""
    found: dict[str, set[str]] = {"cell": set(), "task": set(), "engine": set()}
    for table in tables:
        for row in range(len(table.rows)):
            for kind, name in row_about(table, row).items():
                found[kind].add(name)
    for figure in figures:
        for kind, name in figure.about.items():
            found[kind].add(name)
        rows = (row for data in figure.spec.get("datasets", {}).values() for row in data)
        for field, value in {(field, row[field]) for row in rows for field in COLUMNS.keys() & row.keys()}:
            if (named := about(field, str(value))) is not None:
                found[named[0]].add(named[1])
    return Filters(*(sorted(found[kind]) for kind in ("cell", "task", "engine")))
