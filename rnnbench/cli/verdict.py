"""The answers and the verdict table of a report, on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnbench.cli.text import console


def print_answers(records: Sequence[Mapping[str, Any]], only_measured: bool = False) -> None:
    """Print which cell is fastest, smallest and remembers longest; ``only_measured``: not what nothing is known of."""
    from rich.text import Text

    from rnnbench.report.quantities import NOT_MEASURED
    from rnnbench.report.verdict import answers

    out = console()
    for answer in answers(records):
        if only_measured and answer.winner == NOT_MEASURED:
            continue
        out.print(Text.assemble((f"{answer.question}: {answer.winner}", "bold"), f"\n  {answer.sentence}"))


def print_verdict(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the verdict table, a row for each cell."""
    from rich.table import Table
    from rich.text import Text

    from rnnbench.report.tables import verdict_table

    found = verdict_table(records)
    if found is None:
        return
    table = Table(title=found.title, caption=found.caption, title_justify="left", caption_justify="left")
    for heading, right in zip(found.columns, [False, *found.numeric[1:]], strict=True):
        table.add_column(Text(heading), justify="right" if right else "left")
    for row in found.rows:
        table.add_row(*(Text(entry.text) for entry in row))
    console().print(table)
