"""Records as tidy tables (one row a measurement), which figures, tables and the verdict share.

Every table names what it is about in the column ``cell``. Trials of one cell under several settings are told apart
there: "lstm (hidden=32)". Where one measurement was made more than once, the newest counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rnnbench.trials.controls import CONTROLS

# pandas types nearly every expression as several things at once: a checker finds nothing but noise in it.
Frame = Any
Row = Mapping[str, Any]
"""One row of a table by column."""
SIZES = ["T", "B", "I", "H"]
OURS = "rnnbench."
_TIME_KEY = ["cell", "contender", "dtype", "mode", *SIZES, "threads"]
_TIME = [*_TIME_KEY, "median", "low", "high", "samples", "max_error", "tolerance"]
_MEMORY_KEY = ["cell", "contender", "dtype", "training", *SIZES]
_MEMORY_VALUES = ["workspace_bytes", "parameter_bytes", "peak_growth_bytes"]
_COMPILE = ["cell", "contender", "dtype", "cold_seconds", "cached_seconds", "steady_seconds"]
_OUTCOME = ["score", "loss", "chance_score", "solved_at", "solved", "steps", "steps_to_solve", "diverged", "seconds"]
_TRIAL = ["cell", "base", "control", "task", "length", "seed", *_OUTCOME]
_TRIAL += ["budget", "outcome", "params", "curve", "attention"]
# What a trial is about, and what its cells may differ in without being another setting of the same cell.
_NOT_SETTINGS = {"cell", "task", "length", "seed", "task_options"}


def times(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Return one row for each timed (cell, contender, mode, shape); median, quartiles low and high in seconds."""
    rows = []
    for record in _of_kind(records, "time"):
        samples = [sample for sample in record.get("samples") or [] if sample]
        quartiles = np.quantile(samples, [0.25, 0.75]).tolist() if samples else record.get("quartiles") or [None, None]
        found = record.get("check") or {}
        rows.append({**_pick(record, _TIME_KEY), "median": record.get("median"), "low": quartiles[0]})
        rows[-1] |= {"high": quartiles[1], "samples": samples, **_pick(found, ["max_error", "tolerance"])}
    frame = _newest(_frame(rows, _TIME), _TIME_KEY)
    return frame[frame["median"] > 0].reset_index(drop=True)


def memories(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Return one row for each (cell, contender, training, shape) with its bytes."""
    rows = [_pick(record, [*_MEMORY_KEY, *_MEMORY_VALUES]) for record in _of_kind(records, "memory")]
    return _newest(_frame(rows, [*_MEMORY_KEY, *_MEMORY_VALUES]), [*_MEMORY_KEY], values=_MEMORY_VALUES)


def compiles(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Return one row for each (cell, contender, dtype): seconds of the cold compile, cached load and steady state."""
    rows = [_pick(record, _COMPILE) for record in _of_kind(records, "compile")]
    return _newest(_frame(rows, _COMPILE), _COMPILE[:3])


def trials(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Return one row for each trial; ``cell`` is the cell with what sets it apart, ``base`` the cell alone.

    ``control``: whether it is none (``rnnbench.trials.controls``), which ``cell`` says too. ``budget``: in steps.
    ``outcome``: orders runs of one task and length, larger is better. A run that solved its task, in [0, 1), is better
    than any that did not, in [-1, 0]; of the first, fewer steps are better, of the others a higher score. Training ends
    once a task is solved, so that the scores of solved runs do not order them.
    """
    held = _of_kind(records, "trial")
    rows = []
    for record, name in zip(held, _told_apart([record["trial"] for record in held]), strict=True):
        about = _pick(record["trial"], ["task", "length", "seed"])
        rows.append({"cell": name, "base": record["trial"]["cell"], **about, **_pick(record, [*_OUTCOME, "params"])})
        rows[-1] |= {"control": record["trial"]["cell"] in CONTROLS, "budget": record["trial"].get("steps")}
        rows[-1]["outcome"] = _outcome(record)
        rows[-1] |= {"curve": record.get("curve") or [], "attention": record.get("attention") or []}
    return _frame(rows, _TRIAL)


def baselines(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Return one row for each (task, length, name) of a classical predictor that a cell was compared with."""
    rows = [
        {**_pick(record["trial"], ["task", "length"]), "cell": name, "loss": measured[0], "score": measured[1]}
        for record in _of_kind(records, "trial")
        for name, measured in record.get("baselines", {}).items()
    ]
    return _newest(_frame(rows, ["task", "length", "cell", "loss", "score"]), ["task", "length", "cell"])


def names(*frames: Frame) -> list[str]:
    """Return every name in the column ``cell`` of the tables, sorted: the order that fixes each one's colour."""
    return sorted({str(name) for frame in frames for name in frame["cell"]})


def rows_of(frame: Frame) -> list[dict[str, Any]]:
    """Return the rows of a table, each as a dict by column."""
    columns = [str(name) for name in frame.columns]
    return [
        dict(zip(columns, row, strict=True)) for row in zip(*(frame[name].tolist() for name in columns), strict=True)
    ]


def shape_text(row: Row) -> str:
    """Return a shape as "T=100 B=32 I=128 H=128", or what is known of it: asv's benchmarks fix some."""
    return (
        " ".join(f"{letter}={int(row[letter])}" for letter in SIZES if pd.notna(row[letter]))
        or "the benchmark's own shape"
    )


def common_shape(frame: Frame) -> Frame:
    """Return the rows of the contender and shape that most cells share; of equals, the usual one, then the largest.

    The rows then differ in their cell alone. The usual shape for training is (T, B, I, H) = (100, 32, 128, 128).
    """
    keys = [name for name in ("contender", "dtype", "threads", *SIZES) if name in frame]
    if frame.empty:
        return frame
    groups = [group for _, group in frame.groupby(keys, dropna=False, sort=True)]

    def worth(group: Frame) -> tuple[int, bool, float]:
        sizes = [float(group[letter].iloc[0]) for letter in SIZES]
        return group["cell"].nunique(), sizes == [100, 32, 128, 128], float(np.nan_to_num(np.prod(sizes)))

    return max(groups, key=worth).reset_index(drop=True)


def ours(frame: Frame) -> Frame:
    """Return the rows of the project's engines, without the slow one that defines the numbers."""
    return frame[np.array([_is_ours(contender) for contender in frame["contender"]], dtype=bool)]


def pairs(frame: Frame) -> list[tuple[Row, Row]]:
    """Return ``(ours, peer's)`` row of ``times`` for every cell, mode and shape that both ran, with samples of both."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(frame):
        if row["samples"]:
            # As texts: NaN, an unknown size, is then equal to itself.
            groups[tuple(str(row[name]) for name in _TIME_KEY if name != "contender")].append(row)
    found = []
    for group in groups.values():
        mine = [row for row in group if _is_ours(row["contender"])]
        peers = [row for row in group if not row["contender"].startswith(OURS)]
        found += [(own, other) for own in mine for other in peers]
    return found


def _is_ours(contender: str) -> bool:
    return contender.startswith(OURS) and contender != f"{OURS}reference"


def _of_kind(records: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    held = [record for record in records if record["kind"] == kind]
    return sorted(held, key=lambda record: str(record.get("created", "")))


def _pick(record: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    return {name: record.get(name) for name in columns}


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> Frame:
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    texts = {"cell", "base", "contender", "dtype", "mode", "task", "samples", "curve", "attention"}
    texts |= {"training", "solved", "diverged", "control"}
    for name in frame.columns.difference(list(texts)):
        frame[name] = frame[name].astype(float)
    return frame


def _newest(frame: Frame, keys: list[str], values: list[str] | None = None) -> Frame:
    """Keep the newest row of each key; with ``values``, the newest known value of each of those columns."""
    if values is None or frame.empty:
        return frame.drop_duplicates(keys, keep="last").reset_index(drop=True)
    return frame.groupby(keys, dropna=False, sort=False)[values].last().reset_index()


def _outcome(record: Mapping[str, Any]) -> float:
    """Return where a run stands among others of its task and length: see ``trials``; NaN where the record is a mean."""
    budget, steps, score = record["trial"].get("steps"), record.get("steps_to_solve"), record.get("score")
    if budget is None or record.get("solved") is None:
        return np.nan
    if record["solved"] and steps is not None:
        return 1 - steps / (budget + 1)  # solved at the last step is still solved
    return (score or 0.0) - 1


def _told_apart(trials: list[Mapping[str, Any]]) -> list[str]:
    """Return a name for each trial: its cell, and the settings in which it differs from others of the same cell."""
    seen: dict[tuple[Any, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    differing: dict[str, set[str]] = defaultdict(set)
    for trial in trials:
        # The same cell, task and length: a budget may well depend on the task and its length.
        values = seen[trial["cell"], trial["task"], trial.get("length")]
        for name in trial.keys() - _NOT_SETTINGS:
            values[name].add(repr(trial[name]))
    for (cell, _, _), values in seen.items():
        differing[cell] |= {name for name, held in values.items() if len(held) > 1}
    return [_name(trial, sorted(differing[trial["cell"]])) for trial in trials]


def _name(trial: Mapping[str, Any], settings: list[str]) -> str:
    told = ["control"] if trial["cell"] in CONTROLS else []
    told += [f"{name}={trial.get(name)}" for name in settings]
    return f"{trial['cell']} ({', '.join(told)})" if told else trial["cell"]
