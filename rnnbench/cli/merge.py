"""The command ``merge``: several results files become one."""

from pathlib import Path
from typing import Annotated

import typer

from rnnbench.cli.plan import counted
from rnnbench.cli.text import Json, console, print_json, tell

Files = Annotated[
    list[Path], typer.Argument(help="Results files, or folders that hold one, the first to be trusted most.")
]
Output = Annotated[Path, typer.Option("--output", help="The new results file.")]


def merge(files: Files, output: Output, as_json: Json = False) -> None:
    """Merge results files: no record twice, machines kept apart, records that contradict one another named.

    The exit code is 1 where records contradict one another; the merged file then has those of the file named first.
    """
    from dataclasses import asdict

    from rnnbench.trials.merge import merge as merge_files

    done = merge_files(files, output)
    if as_json:
        print_json(
            {"output": str(output), **asdict(done)} | {"conflicts": [_plain(asdict(one)) for one in done.conflicts]}
        )
    else:
        out = console()
        tell(
            out,
            f"{output}: {counted(done.added, 'record')} from {counted(done.machines, 'state')} of machine and "
            "versions.",
        )
        if done.twice:
            tell(out, f"{counted(done.twice, 'record')} in several files, with the same result: kept once.")
        for one in done.conflicts:
            tell(
                out,
                f"Conflict: {one.what} ({one.key[:12]}) differs in {', '.join(one.differing)}; kept that of "
                f"{one.kept}, not that of {one.dropped}.",
            )
    if done.conflicts:
        raise typer.Exit(1)


def _plain(conflict: dict[str, object]) -> dict[str, object]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in conflict.items()}
