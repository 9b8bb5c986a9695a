"""Records as flat tables, in memory and as Parquet, CSV and JSON files."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    import pandas as pd


def to_frame(records: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Return one row for each record.

    A nested dict becomes columns with dotted names ("trial.cell", "where.cpu"); an empty one becomes no column. Lists
    (curves, samples) stay lists in their cells.
    """
    import pandas as pd

    return pd.DataFrame([_flat(record) for record in records])


FORMATS = ("parquet", "csv", "json")


def write_tables(
    by_kind: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write ``kind``.parquet, ``kind``.csv and ``kind``.json into ``folder`` for each kind, and return the paths.

    The tables are those of ``to_frame``; in CSV a list is its JSON text. The JSON file has the records as they are.
    """
    return [
        write_table(records, folder / f"{kind}.{suffix}") for kind, records in by_kind.items() for suffix in formats
    ]


def write_table(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write records of one kind into a file, and return it; its suffix says the format: see ``write_tables``.

    An earlier file stays until the new one is complete. Raises RnnbenchError for another suffix and for a folder that
    cannot be written to.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise RnnbenchError(f"results are exported as {', '.join(FORMATS)}, which {path.name!r} does not end in")
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(records, beside, suffix)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RnnbenchError(f"results cannot be exported to {path}: {error.strerror or error}") from error
    return path


def _write(records: Sequence[Mapping[str, Any]], path: Path, suffix: str) -> None:
    if suffix == "json":
        path.write_text(json.dumps(list(records), allow_nan=False, indent=1), encoding="utf-8")
        return
    frame = _one_type_per_column(to_frame(records))
    if suffix == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.map(_text_of_list).to_csv(path, index=False)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            row.update(_flat(value, f"{prefix}{name}."))
        else:
            row[prefix + name] = value
    return row


def _one_type_per_column(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Replace a column that mixes texts, numbers and lists (free-form options can) by JSON texts: Parquet has types."""
    for name in frame.columns:
        present = [value for value in frame[name] if isinstance(value, list) or value == value and value is not None]
        families = {int if isinstance(value, (bool, int, float)) else type(value) for value in present}
        if len(families) > 1:
            frame[name] = [json.dumps(value) for value in frame[name]]
    return frame


def _text_of_list(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else value
