"""Writing a report into a folder: report.html, summary.md with its figures, and results.json."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rnnbench
from rnnbench.errors import RnnbenchError
from rnnbench.report import asv_results, page
from rnnbench.report.cell_facts import describe, names_in
from rnnbench.report.markdown import markdown
from rnnbench.report.source import Source, check, check_output, read, read_cells, replace_text


def write_report(
    folder: str | Path, records: Iterable[Mapping[str, Any]], machine: Mapping[str, Any], command: str
) -> Path:
    """Write report.html, summary.md, figures/*.png and results.json into ``folder`` and return the page's path.

    ``records``: plain dicts of schema 1 (see docs/contract.md); ``machine``: what ``machine_facts`` returned;
    ``command``: what the caller typed. The folder is made where it is missing, and nothing else in it is touched.
    Raises RnnbenchError for a record that this version does not read and for a folder that cannot be written to.
    """
    held = [dict(record) for record in records]
    for record in held:
        check(record, "the run")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    check_output(Path(folder))
    cells = {**read_cells(Path(folder)), **_described(names_in(held))}
    return _write(Path(folder), Source(held, machine, command, created, rnnbench.__version__, cells=cells))


def _described(names: Iterable[str]) -> dict[str, Any]:
    """Return the facts of each cell that can be found; a file that was measured yesterday may have moved since."""
    found = {}
    for name in names:
        try:
            found[name] = describe(name).model_dump()
        except RnnbenchError:
            continue
    return found


def report_from_folder(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report on what ``folder`` holds, a run's results or asv's result files, and return the page's path.

    ``output``: where to write; by default ``folder`` itself, and for asv's files the folder that holds ``results``.
    Raises RnnbenchError for files that are missing, corrupt, foreign or of another version, and for a folder that
    cannot be written to.
    """
    folder = Path(folder)
    source = read(folder)
    place = Path(output) if output is not None else asv_results.home(folder) or folder
    check_output(place)
    return _write(place, source)


def _write(folder: Path, source: Source) -> Path:
    report = page.build(source)
    try:
        pictures = folder / "figures"
        pictures.mkdir(parents=True, exist_ok=True)
        # Results first: whatever happens to the page, the numbers are there.
        replace_text(folder / "results.json", json.dumps(source.to_json(), allow_nan=False, indent=1))
        for figure in report.figures:
            (pictures / f"{figure.name}.png").write_bytes(page.png(figure))
        replace_text(folder / "summary.md", markdown(report))
        replace_text(folder / "report.html", page.html(report))
    except OSError as error:
        raise RnnbenchError(f"cannot write the report to {folder}: {error.strerror or error}") from error
    return folder / "report.html"
