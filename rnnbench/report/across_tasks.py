"""Cells over all tasks together: interquartile mean, runs solved, probability of improvement, performance profile."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from rnnbench.report import frames, standing
from rnnbench.report.aggregates import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    share_of_wins,
)
from rnnbench.report.figure import FADED, Figure
from rnnbench.report.palette import Palette
from rnnbench.report.quantities import number, percent, whole
from rnnbench.report.section import Evidence, Section, some
from rnnbench.report.tables import Column, Entry, Table, estimate_entry, steps_entry, table

Stratum = tuple[str, str]
"""A task and its length, as text: the length of some tasks is not known."""
EXPLAINED = (
    "Scores of all tasks and lengths that every cell was trained on, taken together as Agarwal et al. 2021 propose "
    "(arXiv:2108.13264). A controlled comparison of two or more cells, with a test, is rnnbench compare."
)


def across_tasks(evidence: Evidence) -> Section:
    """Return what the trials say over all tasks and lengths together; nothing where there is one of them alone."""
    trials = frames.trials(evidence.records)
    runs = common_runs(trials)
    if len(runs) < 2 or len(next(iter(runs.values()))) < 2:
        return Section("across", "Over all tasks")
    return Section(
        "across",
        "Over all tasks",
        text=[EXPLAINED],
        figures=[profile_figure(runs, evidence.palette)],
        tables=some(aggregate_table(runs)),
    )


Runs = Mapping[str, Mapping[Stratum, Sequence[frames.Row]]]
"""Cell -> task and length -> its runs."""


def common_runs(trials: frames.Frame) -> Runs:
    """Return the runs with a score and an outcome of each cell, of the tasks and lengths that all cells have.

    A cell that lacks all that most others have is left out, rather than leave nothing to compare.
    """
    held: dict[str, dict[Stratum, list[frames.Row]]] = {}
    for run in frames.rows_of(trials.dropna(subset=["score", "outcome"])):
        held.setdefault(str(run["cell"]), {}).setdefault((str(run["task"]), str(run["length"])), []).append(run)
    shared = {
        stratum: sum(stratum in strata for strata in held.values()) for strata in held.values() for stratum in strata
    }
    usual = {stratum for stratum, count in shared.items() if count > len(held) / 2}
    held = {cell: strata for cell, strata in held.items() if usual & strata.keys()}
    common = [stratum for stratum in sorted(usual) if all(stratum in strata for strata in held.values())]
    return {cell: {stratum: strata[stratum] for stratum in common} for cell, strata in held.items()} if common else {}


def numbers(strata: Mapping[Stratum, Sequence[frames.Row]], column: str) -> list[np.ndarray]:
    """Return one column of the runs, an array for each task and length."""
    return [np.array([run[column] for run in runs], dtype=float) for runs in strata.values()]


def order_of_merit(runs: Runs) -> list[str]:
    """Return the cells, the one whose runs come out better most often first, controls after all others."""
    outcomes = {cell: numbers(strata, "outcome") for cell, strata in runs.items()}

    def merit(cell: str) -> float:
        others = [theirs for name, theirs in outcomes.items() if name != cell]
        shares = [share_of_wins(*pair) for theirs in others for pair in zip(outcomes[cell], theirs, strict=True)]
        return float(np.mean(shares)) if shares else 0.0

    return sorted(runs, key=lambda cell: (is_control(runs[cell]), -merit(cell), cell))


def is_control(strata: Mapping[Stratum, Sequence[frames.Row]]) -> bool:
    """Return whether these are runs of a control."""
    return bool(next(iter(strata.values()))[0]["control"])


def aggregate_table(runs: Runs, against: str | None = None) -> Table | None:
    """Return one row for each cell over all its tasks and lengths, the best first.

    ``against``: the cell that all others are held against (None: the first).
    """
    order = order_of_merit(runs)
    other = against or order[0]
    theirs = numbers(runs[other], "outcome")
    rows = []
    for cell in order:
        every = [run for stratum in runs[cell].values() for run in stratum]
        told = standing.success(every)
        interval = f"{percent(told['rate_low'])}–{percent(told['rate_high'])}"
        row: dict[str, object] = {"cell": cell, "runs": len(every), "steps": steps_entry(every)}
        row["score"] = estimate_entry(interquartile_mean(numbers(runs[cell], "score")), number)
        row["solved"] = Entry(f"{whole(told['solved'])}/{len(every)} ({interval})", told["rate"])
        row["diverged"] = sum(run["diverged"] is True for run in every)
        if cell != other:
            better = probability_of_improvement(numbers(runs[cell], "outcome"), theirs)
            row["better"] = estimate_entry(better, percent)
        rows.append(row)
    columns: list[Column] = [
        ("cell", "cell", None),
        ("runs", "runs", whole),
        ("score (95% interval)", "score", number),
        ("runs solved (95% interval)", "solved", percent),
        ("median steps to solve (95% interval)", "steps", whole),
        (f"better than {other} (95% interval)", "better", percent),
        ("diverged", "diverged", whole),
    ]
    count = len(runs[order[0]])
    caption = (
        f"Over {count} tasks and lengths. Score: interquartile mean of all runs with its stratified bootstrap "
        f"interval. Better than {other}: how probable it is that a run comes out better than one of {other} on the "
        "same task and length; a run that solves its task is better than one that does not, of two that do the one "
        "with fewer steps, of two that do not the one with the higher score."
    )
    return table("across", "Over all tasks and lengths", caption, pd.DataFrame(rows), columns)


def profile_figure(runs: Runs, palette: Palette) -> Figure:
    """Return the performance profile: the share of runs that score above each threshold, with its interval."""
    rows = []
    for cell, strata in runs.items():
        profile = performance_profile(numbers(strata, "score"), np.linspace(0, 1, 51))
        rows += [
            {"cell": cell, "threshold": round(at, 4), "share": share, "low": low, "high": high}
            for at, share, low, high in zip(*(one.round(4).tolist() for one in profile), strict=True)
        ]
    data = pd.DataFrame(rows)
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    shown = alt.when(pick)
    x = alt.X("threshold:Q", title="score")
    y = alt.Y("share:Q", title="runs that score above it", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    base = alt.Chart(data).encode(x=x, color=palette.colour(data["cell"]))
    band = base.mark_area().encode(
        y=alt.Y("low:Q", title="runs that score above it"),
        y2="high:Q",
        opacity=shown.then(alt.value(0.12 if len(runs) <= 6 else 0.04)).otherwise(alt.value(0.02)),
    )
    line = base.mark_line(interpolate="step-after").encode(
        y=y,
        strokeDash=palette.dash(data["cell"]),
        opacity=shown.then(alt.value(1)).otherwise(alt.value(FADED)),
        tooltip=[
            alt.Tooltip("cell:N"),
            alt.Tooltip("threshold:Q", title="score above", format=".2f"),
            alt.Tooltip("share:Q", title="runs", format=".0%"),
        ],
    )
    caption = (
        "Share of all runs that score above each threshold, every task and length with the same weight; the band is "
        "the 95% bootstrap interval. A line that lies above another everywhere is better whatever score one asks for."
    )
    return Figure("performance_profile", "Performance profile", caption, alt.layer(band, line.add_params(pick)), 300)
