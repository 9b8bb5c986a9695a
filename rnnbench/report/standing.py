"""How far each cell remembers: runs solved and scores by cell, task and length, and the longest length solved."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from rnnbench.report import frames
from rnnbench.report.quantities import known
from rnnbench.report.statistics import wilson_interval
from rnnbench.report.survival import StepsToSolve, steps_to_solve

_BY_LENGTH = [
    "cell", "base", "control", "task", "length", "runs", "solved", "rate", "rate_low", "rate_high", "score",
    "score_low", "score_high", "chance_score", "solved_at", "diverged",
]  # fmt: skip


def by_length(trials: frames.Frame) -> frames.Frame:
    """Return one row for each (cell, task, length) of ``frames.trials``.

    Columns: runs (NaN where only their mean is known), solved (runs that did; NaN where no run says), rate, rate_low,
    rate_high (Wilson), score (interquartile mean over seeds), score_low, score_high (range over seeds), chance_score,
    solved_at, diverged (runs).
    """
    return pd.DataFrame([_row(group) for group in grouped(trials)], columns=pd.Index(_BY_LENGTH))


def grouped(trials: frames.Frame) -> list[list[frames.Row]]:
    """Return the rows behind each row of ``by_length``, in its order."""
    groups: dict[tuple[str, ...], list[frames.Row]] = defaultdict(list)
    for trial in frames.rows_of(trials):
        groups[trial["cell"], trial["task"], str(trial["length"])].append(trial)
    return list(groups.values())


def _row(group: list[frames.Row]) -> dict[str, Any]:
    kept = ("cell", "base", "control", "task", "length", "chance_score", "solved_at")
    row: dict[str, Any] = {name: group[0][name] for name in kept}
    scores = [trial["score"] for trial in group if known(trial["score"])]
    row |= {"runs": sum(known(trial["seed"]) for trial in group) or np.nan, **success(group)}
    row["score"] = float(stats.trim_mean(scores, 0.25)) if scores else np.nan
    row |= {"score_low": min(scores, default=np.nan), "score_high": max(scores, default=np.nan)}
    told = [trial["diverged"] for trial in group if isinstance(trial["diverged"], bool)]
    return row | {"diverged": sum(told) if told else np.nan}


def solving(runs: Sequence[frames.Row]) -> StepsToSolve | None:
    """Return the steps to solve of runs, None where they do not say whether they solved their task, or after what."""
    told = [run for run in runs if known(run["budget"]) and isinstance(run["solved"], bool)]
    told = [run for run in told if not run["solved"] or known(run["steps_to_solve"])]
    if not told:
        return None
    steps = [run["steps_to_solve"] if run["solved"] else run["budget"] for run in told]
    return steps_to_solve(steps, [run["solved"] for run in told])


def success(runs: Sequence[frames.Row]) -> dict[str, float]:
    """Return solved, rate, rate_low and rate_high over the runs that say whether they solved their task."""
    told = [bool(run["solved"]) for run in runs if run["solved"] is not None and run["solved"] == run["solved"]]
    if not told:
        return dict.fromkeys(("solved", "rate", "rate_low", "rate_high"), np.nan)
    low, high = wilson_interval(sum(told), len(told))
    return {"solved": sum(told), "rate": sum(told) / len(told), "rate_low": low, "rate_high": high}


def reach(lengths: frames.Frame) -> frames.Row | None:
    """Return the row of the longest length solved, of one cell and task of ``by_length``, or None.

    A length counts when at least half of its runs solved it, and every shorter length tried counts too: a lucky run at
    one length is not memory.
    """
    found = None
    for row in frames.rows_of(lengths.sort_values("length")):
        if not row["rate"] >= 0.5:
            break
        found = row
    return found


def memory_tasks(trials: frames.Frame) -> list[str]:
    """Return the tasks that say how long a cell remembers: those tried at several lengths, or all if none was."""
    lengths = trials.groupby("task")["length"].nunique()
    return sorted(lengths[lengths > 1].index) or sorted(lengths.index)


def ranking(trials: frames.Frame) -> frames.Frame:
    """Return one row for each cell, the one that remembers longest first, controls after all cells.

    Columns: cell, base, control, share (mean over the memory tasks of the longest length solved, as a fraction of the
    longest tried; NaN where nothing says what was solved), rate (runs solved), score (mean over the tasks and lengths
    that every cell has a score for: one that is missing must not flatter). Sorted by these, in this order: a control
    is never the cell to choose.
    """
    tasks = memory_tasks(trials)
    tried = trials[trials["task"].isin(tasks)]
    longest = tried.groupby("task")["length"].max()
    lengths = by_length(tried)
    scored = lengths.dropna(subset=["score"])
    cells_with = scored.groupby(["task", "length"], dropna=False)["cell"].transform("nunique")
    common = scored[cells_with == lengths["cell"].nunique()]
    rows = []
    for cell, group in lengths.groupby("cell"):
        runs = frames.rows_of(tried[tried["cell"] == cell])
        shares = [_share(group[group["task"] == task], longest[task]) for task in tasks]
        share = float(np.mean(shares)) if group["rate"].notna().any() else np.nan
        row = {name: group[name].iloc[0] for name in ("cell", "base", "control")}
        row |= {"share": share, "rate": success(runs)["rate"]}
        rows.append({**row, "score": _mean_score(scored if common.empty else common, cell)})
    frame = pd.DataFrame(rows, columns=pd.Index(["cell", "base", "control", "share", "rate", "score"]))
    order = ["control", "share", "rate", "score", "cell"]
    return frame.sort_values(order, ascending=[True, False, False, False, True], ignore_index=True)


def _mean_score(lengths: frames.Frame, cell: object) -> float:
    return float(lengths[lengths["cell"] == cell]["score"].mean())


def _share(lengths: frames.Frame, longest: float) -> float:
    found = reach(lengths)
    if found is None:
        return 0.0
    return 1.0 if np.isnan(longest) else float(found["length"] / longest)


def first_where(frame: frames.Frame, test: Callable[[frames.Row], bool]) -> list[str]:
    """Return the cells of the leading rows of ``frame`` that pass ``test``: the winners, ties included."""
    winners: list[str] = []
    for row in frames.rows_of(frame):
        if not test(row):
            break
        winners.append(str(row["cell"]))
    return winners
