"""The answers and the verdict table of a report, on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.cli.text import console


def print_answers(records: Sequence[Mapping[str, Any]]) -> None:
    """Print which cell is fastest, which smallest and which remembers longest."""
    from rich.text import Text

    from rnnbench.report.verdict import answers

    out = console()
    for answer in answers(records):
        out.print(Text.assemble((f"{answer.question}: {answer.winner}", "bold"), f"\n  {answer.sentence}"))


def print_verdict(records: Sequence[Mapping[str, Any]], side_by_side: bool) -> None:
    """Print the verdict table: a row for each cell, or ``side_by_side`` a column for each."""
    from rich.table import Table
    from rich.text import Text

    from rnnbench.report.tables import verdict_table

    found = verdict_table(records)
    if found is None:
        return
    rows = [found.columns, *[[entry.text for entry in row] for row in found.rows]]
    flush_right = [False, *found.numeric[1:]]
    if side_by_side:
        rows = [list(column) for column in zip(*rows, strict=True)]
        flush_right = [False, *[True] * (len(rows[0]) - 1)]
    table = Table(title=found.title, caption=found.caption, title_justify="left", caption_justify="left")
    for heading, right in zip(rows[0], flush_right, strict=True):
        table.add_column(Text(heading), justify="right" if right else "left")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    console().print(table)
