"""asv's result files as records, and their history over commits.

Read here, rather than through ``asv.results``: a report needs no asv installed. The format is version 2 of
``asv.results.Results.save`` (asv 0.4 to 0.6); benchmarks.json beside the machines' folders has units and names.
A benchmark is recognised by its parameters: ``cell``, ``TxBxIxH``, ``mode``, ``task`` and ``length``, and by its name.
"""

import ast
import datetime
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError

API_VERSION = 2
SHAPE = "TxBxIxH"


def home(folder: Path) -> Path | None:
    """Return the folder that holds asv's ``results`` folder, given that or the ``results`` folder, or None."""
    for place in (folder, folder.parent):
        results = place / "results"
        if results in (folder, folder / "results") and any(results.glob("*/machine.json")):
            return place
    return None


def read(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    """Return ``(records, history, machine)`` of asv's result files.

    ``history`` has one dict for each benchmark, combination of parameters and commit: benchmark, type, unit, params
    (name -> text), machine (a number from 1: asv names machines after hosts), environment, commit, date and started
    (milliseconds since 1970), value, and low, high (asv's 99% interval), samples, quartiles where asv kept them.
    ``records`` are the newest commit's, in the form of a run's. Raises RnnbenchError for files that are corrupt, of
    another version or without a single result.
    """
    place = home(folder)
    if place is None:
        raise RnnbenchError(f"{folder} holds no results of asv (results/*/machine.json)")
    results = place / "results"
    benchmarks = _load(results / "benchmarks.json", API_VERSION) if (results / "benchmarks.json").exists() else {}
    machines = sorted(path.parent for path in results.glob("*/machine.json"))
    history: list[dict[str, Any]] = []
    for number, machine in enumerate(machines, start=1):
        for path in sorted(machine.glob("*.json")):
            if path.name != "machine.json":
                history += _entries(path, benchmarks, number)
    if not history:
        raise RnnbenchError(f"{results} holds no finished benchmark of asv; run `asv run` first")
    newest = max(history, key=lambda entry: (entry["date"], entry["started"] or 0))
    latest = [entry for entry in history if _origin(entry) == _origin(newest)]
    facts = _load(machines[newest["machine"] - 1] / "machine.json", 1)
    # asv names a machine after its host, which is nobody's business on a published page.
    facts = {name: value for name, value in facts.items() if name not in ("machine", "version") and value}
    facts["commit"], facts["environment"] = newest["commit"], newest["environment"]
    return _records(latest), history, facts


def iso_date(milliseconds: float) -> str:
    """Return asv's time stamp as ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat(timespec="seconds")


def _origin(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["machine"], entry["commit"], entry["environment"]


def _load(path: Path, version: int) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RnnbenchError(f"{path} cannot be read as a result file of asv: {error}") from error
    if not isinstance(body, dict) or body.get("version") != version:
        found = body.get("version") if isinstance(body, dict) else None
        raise RnnbenchError(f"{path} is not in asv's format {version} but {found!r}; `asv update` may mend it")
    return body


def _entries(path: Path, benchmarks: dict[str, Any], machine: int) -> Iterator[dict[str, Any]]:
    body = _load(path, API_VERSION)
    try:
        columns, commit, date = body["result_columns"], str(body["commit_hash"]), float(body["date"])
        for name, row in body["results"].items():
            held = dict(zip(columns, row, strict=False))  # asv leaves out trailing columns that are empty
            combinations = list(itertools.product(*(held.get("params") or [])))
            known = benchmarks.get(name) or {}
            names = known.get("param_names") or [f"parameter {i + 1}" for i in range(len(held.get("params") or []))]
            for index, combination in enumerate(combinations):
                value = _item(held.get("result"), index)
                # asv writes NaN for a skipped combination and null for a failed one.
                if value is None or not math.isfinite(value):
                    continue
                yield {
                    "benchmark": name,
                    "type": known.get("type") or name.rsplit(".", 1)[-1].split("_")[0],
                    "unit": known.get("unit") or "",
                    "params": dict(zip(names, map(_text, combination), strict=True)),
                    "machine": machine,
                    "environment": str(body.get("env_name") or ""),
                    "commit": commit[:8],
                    "date": date,
                    "started": held.get("started_at"),
                    "value": float(value),
                    "low": _finite(_item(held.get("stats_ci_99_a"), index)),
                    "high": _finite(_item(held.get("stats_ci_99_b"), index)),
                    "quartiles": [_item(held.get(f"stats_q_{q}"), index) for q in (25, 75)],
                    "samples": _item(held.get("samples"), index) or [],
                }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise RnnbenchError(f"{path} is not a result file of asv: {type(error).__name__}: {error}") from error


def _item(values: Any, index: int) -> Any:
    return values[index] if values is not None else None


def _finite(end: float | None) -> float | None:
    """Return an end of asv's interval, or None: with few samples asv writes infinity."""
    return end if end is not None and math.isfinite(end) else None


def _text(parameter: str) -> str:
    """Return a parameter as its text: asv keeps the ``repr`` of each value."""
    try:
        return str(ast.literal_eval(parameter))
    except (ValueError, SyntaxError):
        return parameter


def _records(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for entry in entries:
        params, method = entry["params"], entry["benchmark"].rsplit(".", 1)[-1]
        if "cell" not in params:
            continue
        mode = params.get("mode") or method.split("_", 1)[-1]
        base = {
            "schema": 1,
            "cell": params["cell"],
            "contender": f"rnnbench.{params.get('engine', 'cpu')}",
            "dtype": params.get("dtype"),
            "created": iso_date(entry["started"] or entry["date"]),
            **_shape(params),
        }
        if entry["type"] == "time" and mode in ("forward", "training"):
            measured = {"mode": mode, "samples": entry["samples"], "median": entry["value"]}
            records.append({**base, "kind": "time", **measured, "quartiles": entry["quartiles"]})
        elif "workspace" in method:
            measured = {"workspace_bytes": entry["value"], "peak_growth_bytes": None}
            records.append({**base, "kind": "memory", "training": mode == "training", **measured})
        elif entry["type"] == "peakmemory" and not method.endswith("_baseline"):
            growth = _growth(entry, entries)
            if growth is not None:
                measured = {"workspace_bytes": None, "peak_growth_bytes": growth}
                records.append({**base, "kind": "memory", "training": mode == "training", **measured})
        elif "task" in params and entry["unit"] == "1 - score":
            records.append(_trial(entry, base["created"]))
    return records


def _shape(params: dict[str, str]) -> dict[str, int | None]:
    parts = params.get(SHAPE, "").split("x")
    if len(parts) == 4 and all(part.isdigit() for part in parts):
        return {letter: int(part) for letter, part in zip("TBIH", parts, strict=True)}
    return dict.fromkeys("TBIH")


def _growth(entry: dict[str, Any], entries: list[dict[str, Any]]) -> float | None:
    """Return the peak less that of the same class's ``peakmem_baseline``: asv's peak holds all of Python."""
    family = entry["benchmark"].rsplit(".", 1)[0]
    for other in entries:
        if other["benchmark"] == f"{family}.peakmem_baseline" and other["params"] == entry["params"]:
            return max(0.0, entry["value"] - other["value"])
    return None


def _trial(entry: dict[str, Any], created: str) -> dict[str, Any]:
    """Return a trial's record without a seed: asv keeps one number, the mean over the seeds."""
    params = entry["params"]
    length = int(params["length"]) if params.get("length", "").isdigit() else None
    return {
        "schema": 1,
        "kind": "trial",
        "trial": {"cell": params["cell"], "task": params["task"], "length": length, "seed": None},
        "score": 1 - entry["value"],
        "solved": None,
        "curve": [],
        "created": created,
    }
