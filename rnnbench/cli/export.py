"""The command ``export``: stored results as tables for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from rnnbench.cli.plan import counted, split_names
from rnnbench.cli.text import Json, console, print_json, tell
from rnnbench.errors import RnnbenchError, unknown

Stored = Annotated[Path, typer.Argument(metavar="STORE", help="A results file, or a folder that holds one.")]
Format = Annotated[str | None, typer.Option("--format", help="parquet, csv or json; not given, what --output ends in.")]
Kinds = Annotated[
    list[str] | None, typer.Option("--kinds", "--kind", help="Kinds of records (trial, time, ...); not given, all.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", help="A folder, for a file of each kind; or a file, for one kind; not given, export/ beside."
    ),
]


def export(
    store: Stored, format: Format = None, kinds: Kinds = None, output: Output = None, as_json: Json = False
) -> None:
    """Write stored results as tables, one for each kind of record: Parquet, CSV or JSON.

    Nested fields become columns with dotted names (trial.cell, where.cpu). In CSV a curve is its JSON text.
    """
    from rnnbench.trials import Store
    from rnnbench.trials.export import FORMATS, write_table, write_tables

    file = store / "results.sqlite" if store.is_dir() else store
    single = output is not None and output.suffix.removeprefix(".") in FORMATS and not output.is_dir()
    chosen = format or (output.suffix.removeprefix(".") if single and output is not None else "parquet")
    if chosen not in FORMATS:
        raise unknown("format", chosen, FORMATS)
    if single and output is not None and output.suffix != f".{chosen}":
        raise RnnbenchError(f"--output {output} and --format {chosen} do not agree")
    with Store(file, read_only=True) as held:
        by_kind: dict[str, list[dict[str, object]]] = {}
        for record in held.records():
            by_kind.setdefault(record["kind"], []).append(record)
    if not by_kind:
        raise RnnbenchError(f"{file} holds no records yet")
    for kind in split_names(kinds or ()):
        if kind not in by_kind:
            raise unknown(f"kind of record in {file}", kind, by_kind)
    wanted = {kind: by_kind[kind] for kind in split_names(kinds or ()) or sorted(by_kind)}
    if single and output is not None:
        if len(wanted) > 1:
            raise RnnbenchError(
                f"one file takes records of one kind, and {file} holds {', '.join(wanted)}: name one with --kind, or a "
                "folder with --output"
            )
        written = [write_table(records, output) for records in wanted.values()]
    else:
        written = write_tables(wanted, output or file.parent / "export", (chosen,))
    rows = {str(path): len(records) for path, records in zip(written, wanted.values(), strict=True)}
    if as_json:
        print_json({"files": [{"path": path, "records": count} for path, count in rows.items()]})
        return
    for path, count in rows.items():
        tell(console(), f"{path}: {counted(count, 'record')}")
