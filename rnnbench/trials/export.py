"""Records as flat tables, in memory and as Parquet, CSV and JSON files."""

import json
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


def write_tables(by_kind: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> list[Path]:
    """Write ``kind``.parquet, ``kind``.csv and ``kind``.json into ``folder`` for each kind, and return the paths.

    The tables are those of ``to_frame``; in CSV a list is its JSON text. The JSON file has the records as they are.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, records in by_kind.items():
            frame = _one_type_per_column(to_frame(records))
            paths = [folder / f"{kind}.{suffix}" for suffix in ("parquet", "csv", "json")]
            frame.to_parquet(paths[0], index=False)
            frame.map(_text_of_list).to_csv(paths[1], index=False)
            paths[2].write_text(json.dumps(list(records), allow_nan=False, indent=1), encoding="utf-8")
            written += paths
    except OSError as error:
        raise RnnbenchError(f"results cannot be exported to {folder}: {error.strerror or error}") from error
    return written


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
