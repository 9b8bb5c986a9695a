"""How the commands write to the terminal."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 160


def console(stderr: bool = False) -> "Console":
    """Return a console on the standard output (or error) of this moment; where that is no terminal, wide enough."""
    from rich.console import Console

    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=FILE_WIDTH)


def tell(out: "Console", text: str) -> None:
    """Print ``text`` as it is: no markup, no colours of its own, paths and commands in one piece."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(title: str, columns: Mapping[str, bool], rows: Iterable[Iterable[str]]) -> None:
    """Print a table of plain texts; ``columns``: heading -> whether it is set flush right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for heading, right in columns.items():
        table.add_column(Text(heading), justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def print_states(title: str, states: Mapping[str, str | None]) -> None:
    """Print one row per name: ready, or why not (the mapping's value)."""
    rows = [(name, "ready" if reason is None else f"not here: {reason}") for name, reason in states.items()]
    print_table(title, {"name": False, "state": False}, rows)
