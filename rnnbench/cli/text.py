"""How the commands write to the terminal."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 160

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else there.")
]

# How the command of this process writes; the options that every command has set them, each time a command starts.
_quiet = False
_plain = False


def hush(quiet: bool) -> None:
    """Say whether progress is left out."""
    global _quiet
    _quiet = quiet


def dress(plain: bool) -> None:
    """Say whether colours are left out."""
    global _plain
    _plain = plain


def console(stderr: bool = False) -> "Console":
    """Return a console on the standard output, or on the standard error for progress, which ``--quiet`` leaves out.

    Where there is no terminal, lines are wide enough for a table; the environment's NO_COLOR is heeded.
    """
    from rich.console import Console

    settings: dict[str, Any] = {"stderr": stderr, "no_color": _plain or None, "quiet": stderr and _quiet}
    made = Console(**settings)
    return made if made.is_terminal else Console(**settings, width=FILE_WIDTH)


def warn(out: "Console", text: str) -> None:
    """Print what must be read, ``--quiet`` or not, in the place where ``out`` shows progress."""
    silent, out.quiet = out.quiet, False
    out.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
    out.quiet = silent


def print_json(document: Any) -> None:
    """Print the one document of a command with ``--json``; numbers that JSON does not have are an error."""
    typer.echo(json.dumps(document, allow_nan=False, indent=1))


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
