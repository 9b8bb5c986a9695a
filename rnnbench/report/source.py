"""What a report is made from: the records of a run's folder, or of asv's result files."""

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

import rnnbench
from rnnbench.errors import RnnbenchError
from rnnbench.report import asv_results
from rnnbench.trials.store import Store

SCHEMA = 1


@dataclass(frozen=True)
class Source:
    """Everything that a report says: plain JSON values only.

    ``history`` is asv's: one dict for each benchmark, combination of parameters and commit (see ``asv_results``).
    ``cells``: name -> what the cell was when it ran (``cell_facts.CellFacts``, as a dict).
    """

    records: list[dict[str, Any]]
    machine: Mapping[str, Any]
    command: str
    created: str
    version: str
    history: list[dict[str, Any]] = field(default_factory=list)
    cells: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the body of results.json; a number that is not finite becomes null, as JSON has no other word."""
        body = {
            "schema": SCHEMA,
            "rnnbench": self.version,
            "created": self.created,
            "command": self.command,
            "machine": self.machine,
            "records": self.records,
        }
        beside = {"history": self.history, "cells": dict(self.cells)}
        return _finite({**body, **{name: held for name, held in beside.items() if held}})


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    schema_: Literal[1] = Field(alias="schema")
    cell: str


class _Sized(_Record):
    contender: str
    dtype: str | None
    T: int | None
    B: int | None
    I: int | None  # noqa: E741 - the legend's letters
    H: int | None


class _Time(_Sized):
    kind: Literal["time"]
    mode: Literal["forward", "training"]
    samples: list[float]
    median: float | None


class _Memory(_Sized):
    kind: Literal["memory"]
    training: bool
    workspace_bytes: float | None
    peak_growth_bytes: float | None


class _Compile(_Record):
    kind: Literal["compile"]
    contender: str
    cold_seconds: float | None
    cached_seconds: float | None
    steady_seconds: float | None


class _Trial(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    cell: str
    task: str
    length: int | None = None
    seed: int | None = None


class _TrialRecord(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["trial", "search_trial", "horizon_trial"]
    trial: _Trial
    score: float | None
    solved: bool | None
    curve: list[tuple[float, float | None]] = []


class _SpeedTime(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    contender: str
    cell: str
    samples: list[float]
    median: float
    flops: float
    workspace_bytes: float | None = None  # of an engine; records of before have none


class _Speed(_Record):
    kind: Literal["speed"]
    dtype: str
    T: int
    B: int
    I: int  # noqa: E741 - the legend's letters
    H: int
    mode: Literal["forward", "training"]
    threads: int
    recurrence: str
    bytes: float
    saved: int | None = None
    contest: list[tuple[str, str]]
    times: list[_SpeedTime]
    excluded: dict[str, str]
    absent: dict[str, str]


class _Limit(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    quantity: str
    level: str | None
    threads: int
    median: float


class _Cache(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    level: str
    bytes: int
    cores: int


class _Limits(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["limits"]
    threads: int
    dtype: str
    caches: list[_Cache]
    limits: list[_Limit]


class _HorizonLength(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    length: int
    solved: bool
    runs: int
    runs_solved: int


class _Horizon(_Record):
    kind: Literal["horizon"]
    task: str
    horizon: int | None
    unsolved: int | None
    again: list[int]
    longest: int
    precision: float
    seeds: list[int]
    lengths: list[_HorizonLength]
    settings: dict[str, Any]


class _Gradients(_Record):
    kind: Literal["gradients"]
    weights: Literal["initial", "trained"]
    task: str | None
    T: int
    B: int
    I: int  # noqa: E741 - the legend's letters
    H: int
    seed: int
    trial: _Trial | None
    states: dict[str, list[int]]
    log_norms: list[list[float | None]]
    exponents: list[list[float | None]]
    retention: dict[str, list[float]]
    capacity: list[float]


class _Match(_Record):
    kind: Literal["match"]
    task: str
    length: int
    by: str
    reference: str
    target: float
    reached: float
    hidden: int


class _Search(_Record):
    kind: Literal["search"]
    task: str
    length: int
    hidden: int
    steps: int
    settings: dict[str, Any]
    tried: list[tuple[float, float | None]]
    learning_rate: float


_RECORD = TypeAdapter(
    Annotated[
        _Time | _Memory | _Compile | _TrialRecord | _Speed | _Limits | _Gradients | _Horizon | _Match | _Search,
        Field(discriminator="kind"),
    ]
)


def check(record: Any, origin: str) -> None:
    """Raise RnnbenchError, naming ``origin`` and the field, unless ``record`` is one that this version reads."""
    _same_schema(record, origin)
    try:
        # By way of JSON, whose strict reading takes a list for a tuple but never a text for a number.
        _RECORD.validate_json(json.dumps(_finite(record)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "kind"
        raise RnnbenchError(f"{origin} holds a record that cannot be read: {place}: {first['msg'].lower()}") from error


def read(folder: Path) -> Source:
    """Return what ``folder`` holds: asv's result files if there are any, else a run's results.

    Of a run's two files, results.sqlite has the records (a killed run leaves no other), results.json the command and
    the machine. Raises RnnbenchError, in one sentence, for a folder with neither and for a file that is corrupt,
    foreign or of another version.
    """
    if not folder.is_dir():
        raise RnnbenchError(f"there is no folder {folder} to report on")
    if asv_results.home(folder) is not None:
        records, history, machine = asv_results.read(folder)
        commits = sorted(history, key=lambda entry: entry["date"])
        created = asv_results.iso_date(commits[-1]["started"] or commits[-1]["date"])
        return Source(records, machine, "asv run", created, _version(), history)
    stored, written = folder / "results.sqlite", folder / "results.json"
    body = _read_json(written) if written.exists() else None
    if stored.exists():
        records = _read_store(stored)
    elif body is not None:
        records = body["records"]
    else:
        raise RnnbenchError(f"{folder} holds no results: no results.json, results.sqlite or results of asv")
    for record in records:
        check(record, str(stored if stored.exists() else written))
    if body is not None:
        beside = body.get("history", []), body.get("cells", {})
        return Source(records, body["machine"], body["command"], body["created"], body["rnnbench"], *beside)
    if not records:
        raise RnnbenchError(f"{stored} holds no records yet")
    last = max(records, key=lambda record: str(record.get("created", "")))
    return Source(records, last.get("where") or {}, "not recorded", str(last.get("created", "")), _version())


def read_cells(folder: Path) -> dict[str, Any]:
    """Return what the results.json of ``folder`` says on cells, nothing where there is none."""
    written = folder / "results.json"
    return _read_json(written).get("cells", {}) if written.exists() else {}


def _read_store(path: Path) -> list[dict[str, Any]]:
    with Store(path, read_only=True) as store:
        try:
            return store.records()
        except (zlib.error, ValueError) as error:
            if isinstance(error, RnnbenchError):
                raise
            damage = str(error)
        # Out of the handler, so that the half-read rows, which its traceback holds, are gone before the file is closed.
        raise RnnbenchError(f"{path} is corrupt: a record cannot be unpacked ({damage})")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RnnbenchError(f"{path} cannot be read as JSON: {error}") from error
    _same_schema(body, str(path))
    wanted = {"records": list, "machine": dict, "command": str, "created": str, "rnnbench": str}
    held = {"history": [], "cells": {}, **body}
    for name, kind in (wanted | {"history": list, "cells": dict}).items():
        if not isinstance(held.get(name), kind):
            raise RnnbenchError(f"{path} is not a results file of rnnbench: {name!r} is missing or of another type")
    return body


def _same_schema(body: Any, origin: str) -> None:
    if not isinstance(body, dict) or "schema" not in body:
        raise RnnbenchError(f"{origin} is not a results file of rnnbench: it names no schema")
    if body["schema"] != SCHEMA:
        raise RnnbenchError(
            f"{origin} was written by another version of rnnbench: schema {body['schema']!r}, this one reads {SCHEMA}"
        )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(held) for held in value]
    return value


def _version() -> str:
    return rnnbench.__version__


def check_output(folder: Path) -> None:
    """Raise RnnbenchError unless a report may be written into ``folder``, which is made where it is missing.

    A results.json there that is corrupt, foreign or of another version is somebody's and stays as it is.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise RnnbenchError(f"cannot write to the output folder {folder}: {error.strerror or error}") from error
    if (folder / "results.json").exists():
        _read_json(folder / "results.json")


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old text or the new one, never a part."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
