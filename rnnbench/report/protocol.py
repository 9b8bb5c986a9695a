"""Where the numbers come from: the machine and its versions, the protocol of the trials, and how to repeat them."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from rnnbench.report.frames import Frame
from rnnbench.report.quantities import size
from rnnbench.report.source import Source
from rnnbench.report.tables import Column, Table, table

# In the order of interest; fields of a trial that are not here follow under their own names.
_WORDS = {
    "task": "tasks",
    "length": "sequence lengths T",
    "hidden": "hidden size H",
    "layers": "layers",
    "bidirectional": "bidirectional",
    "seed": "seeds",
    "steps": "budget, optimiser steps",
    "batch": "batch B",
    "optimizer": "optimiser",
    "learning_rate": "learning rate",
    "clip": "gradient clipping, global norm",
    "init": "initialisation",
    "hyper": "hyper-parameters",
    "evaluate_every": "steps between validations",
    "engine": "engine",
    "dtype": "dtype",
    "task_options": "task options",
}
# What it means that a setting was left alone, where that is worth saying.
_DEFAULTS = {"clip": "none", "init": "each cell's own"}
# More numbers than these are told by their range: rates that were searched for differ from cell to cell.
_LISTED = 12
_COLUMNS: list[Column] = [("what", "what", None), ("value", "value", None)]


def machine_table(source: Source) -> Table | None:
    """Return the machine, versions, command and time of the run, a row each."""
    rows = [("command", source.command), ("rnnbench", source.version), ("written", source.created)]
    rows += [(name, _fact(name, value)) for name, value in _flat(source.machine) if name != "rnnbench"]
    caption = "The machine and the versions on which everything above was measured."
    others = len({json.dumps(record["where"], sort_keys=True) for record in source.records if record.get("where")})
    if others > 1:
        caption += (
            f" The records come from {others} different states of machine, versions or commit; this is the last. "
            "results.json has each record's own."
        )
    return table("machine", "Machine and versions", caption, _pairs(rows), _COLUMNS)


def protocol_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return how the trials were trained and the times sampled, a row for each setting with all values it took."""
    records = list(records)
    trials = [record["trial"] for record in records if record["kind"] == "trial"]
    names = [*_WORDS, *sorted({name for trial in trials for name in trial} - {*_WORDS, "cell", "purpose"})]
    rows: list[tuple[str, str]] = [
        (_WORDS.get(name) or name, _values(name, [trial[name] for trial in trials if name in trial])) for name in names
    ]
    rows += _timing([record for record in records if record["kind"] == "time" and record.get("samples")])
    caption = "Cells share data, seeds and budget. Where a setting took several values, all are listed."
    return table("protocol", "Protocol", caption, _pairs([row for row in rows if row[1]]), _COLUMNS)


def _timing(timed: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    if not timed:
        return []
    counts = sorted({len(record["samples"]) for record in timed})
    rows = [("samples of each time", f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0]))]
    rows.append(("threads when timed", _values("threads", [record.get("threads") for record in timed])))
    held = [record["protocol"] for record in timed if isinstance(record.get("protocol"), Mapping)]
    for name in sorted({name for protocol in held for name in protocol}):
        rows.append((f"timing: {name.replace('_', ' ')}", _values(name, [one.get(name) for one in held])))
    checks = [record["check"] for record in timed if record.get("check")]
    if checks:
        passed = sum(check["max_error"] <= check["tolerance"] for check in checks)
        rows.append(("results that agree with the reference", f"{passed} of {len(checks)} timed"))
    return rows


def reproduce(source: Source) -> list[str]:
    """Return the commands that repeat the run, one a line; what is not known is left out."""
    commit = source.machine.get("commit")
    lines = []
    if isinstance(commit, str) and commit.isalnum() and not source.machine.get("modified"):
        lines.append(f"git checkout {shlex.quote(commit)}")
    if source.command != "not recorded":
        lines.append(source.command)
    return lines


def _pairs(rows: list[tuple[str, str]]) -> Frame:
    return pd.DataFrame(rows, columns=pd.Index(["what", "value"]))


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found += _flat(value, prefix="" if name == "packages" else f"{prefix}{name} ")
        elif value is not None:
            found.append((f"{prefix}{name}".replace("_", " "), value))
    return found


def _fact(name: str, value: Any) -> str:
    if name == "memory bytes" and isinstance(value, (int, float)):
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _values(name: str, held: list[Any]) -> str:
    """Return the different values as a list, sorted; "" where none was ever set."""
    different = {json.dumps(value, sort_keys=True): value for value in held}
    if set(different) <= {"null", "{}"}:
        return _DEFAULTS.get(name, "") if different else ""
    if all(isinstance(value, (int, float)) for value in different.values()):
        words = list(map(_word, sorted(different.values())))
        return ", ".join(words) if len(words) <= _LISTED else f"{words[0]} to {words[-1]}, {len(words)} values"
    return ", ".join(_word(different[text]) for text in sorted(different))


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
