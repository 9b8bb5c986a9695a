"""The report's tables, made once and shown both as HTML and as Markdown."""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rnnbench.report import frames, standing, verdict
from rnnbench.report.aggregates import Estimate, interquartile_mean
from rnnbench.report.quantities import NOT_MEASURED, known, number, percent, seconds, size, times, whole
from rnnbench.report.statistics import speed_ratio


@dataclass(frozen=True)
class Entry:
    """One entry of a table: what is read, and the number or text that it is sorted by (None sorts last)."""

    text: str
    sort: float | str | None


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``numeric`` says for each column whether it is set flush right."""

    name: str
    title: str
    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Entry]]

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown, its title and caption before it."""
        rule = ["---:" if right else "---" for right in self.numeric]
        lines = [self.columns, rule, *[[entry.text for entry in row] for row in self.rows]]
        body = "\n".join(
            f"| {' | '.join(cells if cells is rule else [markdown_text(cell) for cell in cells])} |" for cells in lines
        )
        return f"### {markdown_text(self.title)}\n\n{markdown_text(self.caption)}\n\n{body}\n"


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is: nothing in a name becomes a tag, a border, a link or emphasis."""
    for mark in "\\`*_[]|":
        text = text.replace(mark, f"\\{mark}")
    return html.escape(" ".join(text.split()), quote=False)


Column = tuple[str, str | Callable[[frames.Row], Any], Callable[[Any], str] | None]
"""A heading, the column (or function of a row) that it shows, and how a number is written (None: it is a text)."""


def table(name: str, title: str, caption: str, frame: frames.Frame, columns: list[Column]) -> Table | None:
    """Return a table of ``frame``'s rows, without the columns in which nothing is known, or None without a row."""
    if frame.empty:
        return None
    shown, values = [], []
    for heading, source, form in columns:
        held = [source(row) for row in frames.rows_of(frame)] if callable(source) else frame[source].tolist()
        if any(value is not None and value == value for value in held):
            shown.append((heading, form))
            values.append(held)
    rows = [
        [_entry(column[index], form) for column, (_, form) in zip(values, shown, strict=True)]
        for index in range(len(frame))
    ]
    return Table(name, title, caption, [head for head, _ in shown], [form is not None for _, form in shown], rows)


def _entry(value: Any, form: Callable[[Any], str] | None) -> Entry:
    if isinstance(value, Entry):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value:
        return Entry("—", None)
    if form is not None and known(value):
        return Entry(form(value), float(value))
    return Entry(str(value), str(value))


def verdict_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return one row for each cell, the one that remembers longest first: reach by task, success, speed and size."""
    records = list(records)
    timed, memory, trials = frames.times(records), frames.memories(records), frames.trials(records)
    speed, space = verdict.speed_rows(timed), verdict.memory_rows(memory)
    counts, counted_at = verdict.parameter_counts(memory, trials)
    lengths, runs = standing.by_length(trials), frames.rows_of(trials)
    milliseconds = dict(zip(speed["cell"], speed["median"] * 1e3, strict=True))
    totals = dict(zip(space["cell"], space["total"] / 2**20, strict=True))
    ranked = standing.ranking(trials) if len(trials) else pd.DataFrame(columns=pd.Index(["cell", "base"]))
    rest = sorted(
        {*milliseconds, *totals, *counts} - set(ranked["base"]), key=lambda cell: milliseconds.get(cell, np.inf)
    )
    rows = [(str(row["cell"]), str(row["base"])) for row in frames.rows_of(ranked)] + [(cell, cell) for cell in rest]
    frame = pd.DataFrame(rows, columns=pd.Index(["cell", "base"]))
    shape = frames.shape_text(frames.rows_of(speed)[0]) if len(speed) else ""
    mode = "forward" if len(speed) and speed["mode"].iloc[0] == "forward" else "training step"
    columns: list[Column] = [("cell", "cell", None)]
    for task in sorted(trials["task"].unique()):
        columns.append((f"{task}: solved up to T", lambda row, task=task: _reach(lengths, row["cell"], task), whole))
    columns += [
        (
            "runs solved (95% interval)",
            lambda row: _success([run for run in runs if run["cell"] == row["cell"]]),
            whole,
        ),
        (f"{mode}, ms", lambda row: _looked_up(milliseconds, row["base"], number), number),
        ("training memory, MiB", lambda row: _looked_up(totals, row["base"], number), number),
        ("parameters", lambda row: _looked_up(counts, row["base"], whole), whole),
    ]
    caption = (
        "Sorted by how long a cell remembers (longest length solved by at least half of the runs, and every "
        "shorter one too; in brackets how many did, or the score where no length counts), then by runs solved and "
        "mean score."
    )
    if shape:
        caption += f" Time at {shape}."
    if len(space):
        parts = [name for name in ("workspace", "parameter") if space[f"{name}_bytes"].notna().any()]
        account = (
            " and ".join(parts).replace("parameter", "parameters")
            if "workspace" in parts
            else "growth of a fresh process"
        )
        caption += f" Memory: {account} at {frames.shape_text(frames.rows_of(space)[0])}."
    if counted_at:
        caption += f" Parameters at {counted_at}."
    return table("verdict", "Verdict", caption, frame, columns)


def _reach(lengths: frames.Frame, cell: str, task: str) -> Entry:
    mine = lengths[(lengths["cell"] == cell) & (lengths["task"] == task)]
    if mine.empty:
        return Entry(NOT_MEASURED, None)
    found = standing.reach(mine)
    if found is not None:
        length = found["length"]
        text = f"T={int(length)}" if pd.notna(length) else "solved"
        told = f"{text} ({whole(found['solved'])}/{whole(found['runs'])})"
        return Entry(told, length if pd.notna(length) else 1.0)
    last = frames.rows_of(mine.sort_values("length"))[-1 if mine["rate"].isna().all() else 0]
    if pd.isna(last["rate"]):
        at = f" at T={int(last['length'])}" if pd.notna(last["length"]) else ""
        return Entry(f"score {number(last['score'])}{at}", last["score"])
    return Entry(f"no ({number(last['score'])})", 0.0)


def _success(mine: Sequence[frames.Row]) -> Entry:
    told = standing.success(mine)
    if np.isnan(told["rate"]):
        return Entry("—" if len(mine) else NOT_MEASURED, None)
    interval = f"{percent(told['rate_low'])}–{percent(told['rate_high'])}"
    return Entry(f"{whole(told['solved'])}/{len(mine)} ({interval})", told["rate"])


def _looked_up(values: Mapping[str, float], cell: str, form: Callable[[float], str]) -> Entry:
    value = values.get(cell)
    return Entry(form(value), value) if known(value) and value is not None else Entry(NOT_MEASURED, None)


def compile_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return what a new cell costs before its first result: cold compile, cached load, steady state."""
    frame = frames.compiles(records).sort_values(["cold_seconds", "cell"])
    columns: list[Column] = [("cell", "cell", None), ("contender", "contender", None), ("dtype", "dtype", None)]
    columns += [
        ("cold, s", "cold_seconds", number),
        ("cached, s", "cached_seconds", number),
        ("steady, ms", lambda row: row["steady_seconds"] * 1e3, number),
    ]
    caption = (
        "Time to the first training step of a fresh process, compiling (cold) and loading what an earlier process "
        "compiled (cached), and of each call after that (steady)."
    )
    return table("compile", "Compile times", caption, frame, columns)


def speedup_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return every paired comparison with a peer, rnnbench's worst first."""
    rows = []
    for own, other in frames.pairs(frames.times(records)):
        ratio, low, high = speed_ratio(other["samples"], own["samples"])
        result = (
            "level"
            if low is not None and high is not None and low <= 1 <= high
            else "faster"
            if ratio > 1
            else "slower"
        )
        rows.append(
            {
                "cell": own["cell"],
                "mode": own["mode"],
                "peer": other["contender"],
                "shape": frames.shape_text(own),
                "own": own["median"],
            }
        )
        rows[-1] |= {
            "other": other["median"],
            "ratio": Entry(times(ratio, low, high), ratio),
            "order": ratio,
            "result": result,
        }
    frame = pd.DataFrame(rows).sort_values("order") if rows else pd.DataFrame()
    columns: list[Column] = [
        ("cell", "cell", None),
        ("mode", "mode", None),
        ("shape", "shape", None),
        ("peer", "peer", None),
    ]
    columns += [
        ("rnnbench, ms", lambda row: row["own"] * 1e3, number),
        ("peer, ms", lambda row: row["other"] * 1e3, number),
        ("speed-up (95% interval)", "ratio", number),
        ("rnnbench is", "result", None),
    ]
    caption = (
        "Median time of the peer over that of rnnbench, from paired samples; below 1 the peer is faster. Worst first."
    )
    return table("speedup", "Speed-up over peers", caption, frame, columns)


def raw_tables(records: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Return the measurements behind the figures: trials by length, times and memory."""
    records = list(records)
    found = [_trials_table(frames.trials(records)), _baselines_table(frames.baselines(records))]
    found += [_times_table(frames.times(records)), _memory_table(frames.memories(records))]
    return [one for one in found if one is not None]


def _trials_table(trials: frames.Frame) -> Table | None:
    frame = standing.by_length(trials)
    groups = standing.grouped(trials)
    frame["mean"], frame["steps"] = [_mean(group) for group in groups], [steps_entry(group) for group in groups]
    order = ["task", "length", "control", "rate", "score"]
    frame = frame.sort_values(order, ascending=[True, True, True, False, False])
    columns: list[Column] = [
        ("task", "task", None),
        ("T", "length", whole),
        ("cell", "cell", None),
        ("runs", "runs", whole),
        ("solved", "solved", whole),
        ("95% interval", lambda row: _interval(row, "rate", percent), percent),
        ("score (95% interval)", "mean", number),
        ("range over seeds", lambda row: _interval(row, "score", number), number),
        ("chance score", "chance_score", number),
        ("median steps to solve (95% interval)", "steps", whole),
        ("diverged", "diverged", whole),
    ]
    caption = (
        "Score: interquartile mean over seeds with its bootstrap interval, 1 is best. Steps to solve: the Kaplan-Meier "
        "median, in which runs that did not solve the task count as longer than their budget; above it where fewer "
        "than half did."
    )
    return table("trials", "Long-range tasks", caption, frame, columns)


def _mean(runs: Sequence[frames.Row]) -> Entry | None:
    scores = [run["score"] for run in runs if known(run["score"])]
    if not scores:
        return None
    return estimate_entry(interquartile_mean([scores]), number)


def estimate_entry(estimate: Estimate, form: Callable[[float], str]) -> Entry:
    """Return an estimate as it is read: the number, and its interval in brackets where there is one."""
    told = form(estimate.value)
    if known(estimate.low) and known(estimate.high):
        told += f" ({form(estimate.low)}–{form(estimate.high)})"
    return Entry(told, estimate.value)


def steps_entry(runs: Sequence[frames.Row]) -> Entry | None:
    """Return the median steps to solve of some runs; "over 2,000" where it lies above their budget."""
    found = standing.solving(runs)
    if found is None:
        return None
    over = f"over {whole(found.budget)}"
    told = over if math.isinf(found.median.value) else whole(found.median.value)
    if known(found.median.low):
        high = over if math.isinf(found.median.high) else whole(found.median.high)
        told += f" ({whole(found.median.low)}–{high})"
    return Entry(told, min(found.median.value, 2 * found.budget))


def _baselines_table(baselines: frames.Frame) -> Table | None:
    frame = baselines.sort_values(["task", "length", "score"], ascending=[True, True, False])
    columns: list[Column] = [("task", "task", None), ("T", "length", whole), ("baseline", "cell", None)]
    columns += [("score", "score", number), ("loss", "loss", number)]
    caption = "Classical predictors on the same test sets as the cells."
    return table("baselines", "Classical baselines", caption, frame, columns)


def _interval(row: frames.Row, name: str, form: Callable[[float], str]) -> Entry | None:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if not row["runs"] >= 2 or pd.isna(low):
        return None
    return Entry(f"{form(low)}–{form(high)}", float(low))


def _times_table(timed: frames.Frame) -> Table | None:
    frame = timed.sort_values(["mode", *frames.SIZES, "dtype", "median"])
    columns: list[Column] = [("mode", "mode", None), *[(letter, letter, whole) for letter in frames.SIZES]]
    columns += [
        ("cell", "cell", None),
        ("contender", "contender", None),
        ("dtype", "dtype", None),
        ("threads", "threads", whole),
        ("median", "median", seconds),
        ("quartiles", lambda row: Entry(f"{seconds(row['low'])} – {seconds(row['high'])}", row["low"]), seconds),
        ("per time step", lambda row: row["median"] / row["T"], seconds),
        ("samples", lambda row: len(row["samples"]) or None, whole),
        ("error against reference", "max_error", lambda value: f"{value:.1e}"),
    ]
    caption = (
        "Time of one call: forward, or training (forward and backward of one batch). Each contender was first checked."
    )
    return table("times", "Times", caption, frame, columns)


def _memory_table(memory: frames.Frame) -> Table | None:
    frame = memory.sort_values(["training", *frames.SIZES, "cell", "contender"])
    columns: list[Column] = [("mode", lambda row: "training" if row["training"] else "forward", None)]
    columns += [(letter, letter, whole) for letter in frames.SIZES]
    columns += [
        ("cell", "cell", None),
        ("contender", "contender", None),
        ("dtype", "dtype", None),
        ("parameters", "parameter_bytes", size),
        ("workspace", "workspace_bytes", size),
        ("peak growth", "peak_growth_bytes", size),
    ]
    caption = "Workspace: by the engine's own account. Peak growth: of the resident memory of a fresh process."
    return table("memory", "Memory", caption, frame, columns)
