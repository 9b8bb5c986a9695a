"""The report's figures: each function takes records and returns its figures, none where nothing was measured.

A chart has the width of what holds it; clicking an entry of the legend keeps that cell alone (shift: several).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report import frames, standing, verdict
from rnnbench.report.figure import (
    CURVE_POINTS,
    FADED,
    Chart,
    Figure,
    Rows,
    file_stem,
    log_axis,
    tooltips,
)
from rnnbench.report.palette import DASHES, QUIET, Palette
from rnnbench.report.quantities import number, seconds, size, times
from rnnbench.report.statistics import speed_ratio, thinned

Records = Iterable[Mapping[str, Any]]
RATIO_ROWS = Rows(14, ("shape", "cell"))
"""The height that ``ratios_by_shape`` needs."""


def palette_of(records: Records) -> Palette:
    """Return the palette of every cell that these records are about, a trial's with the settings that set it apart."""
    records = list(records)
    named = {str(record["cell"]) for record in records if "cell" in record}
    return Palette(sorted(named.union(frames.names(frames.trials(records)))))


def time_per_step(records: Records, against: str, palette: Palette) -> list[Figure]:
    """Return time per time step against ``against`` ("H" or "T"), one figure for each mode, all else held equal."""
    found = []
    timed = frames.times(records)
    for mode in ("training", "forward"):
        rows, held = _sweep(timed[timed["mode"] == mode], against)
        if rows.empty:
            continue
        data = _contender_data(rows, against)
        what = "forward and backward" if mode == "training" else "forward"
        caption = f"Median and quartiles of the samples, {what}, divided by the number of time steps; {held}."
        caption += " Lower is faster."
        name = {"H": "hidden size", "T": "sequence length"}[against]
        if against == "T":
            caption += " A level line costs the same for every step."
        chart = _lines(data, palette, alt.X(f"{against}:Q", title=f"{name} {against}", **log_axis(data[against])))
        slug = f"time_per_step_against_{name.replace(' ', '_')}_{mode}"
        found.append(Figure(slug, f"Time per step against {name}, {mode}", caption, chart, 320))
    return found


def _sweep(timed: frames.Frame, against: str) -> tuple[pd.DataFrame, str]:
    """Return the largest set of rows in which ``against`` varies and the other sizes do not, and what is held equal."""
    fixed = [letter for letter in frames.SIZES if letter != against]
    best, held = timed.iloc[:0], ""
    for values, group in timed.dropna(subset=frames.SIZES).groupby([*fixed, "dtype", "threads"], dropna=False):
        if group[against].nunique() > max(1, best[against].nunique()):
            sizes = " ".join(f"{letter}={int(value)}" for letter, value in zip(fixed, values, strict=False))
            best, held = group, f"{sizes} held equal"
    return best, held


def _contender_data(rows: frames.Frame, against: str) -> frames.Frame:
    data = rows[["cell", "contender", against]].copy()
    for name in ("median", "low", "high"):
        data[name] = rows[name] / rows["T"] * 1e6
    data["per_step"] = [seconds(value / 1e6) for value in data["median"]]
    data["whole"] = [seconds(value) for value in rows["median"]]
    data["shape"] = [frames.shape_text(row) for row in frames.rows_of(rows)]
    return data


def _lines(data: frames.Frame, palette: Palette, x: alt.X) -> Chart:
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    opacity = alt.when(pick).then(alt.value(1)).otherwise(alt.value(FADED))
    base = alt.Chart(data).encode(x=x, color=palette.colour(data["cell"]), opacity=opacity)
    ends = pd.concat([data[name].dropna() for name in ("median", "low", "high")])
    y = alt.Y("median:Q", title="µs per time step", **log_axis(ends, ticks=False))
    line = base.mark_line().encode(y=y)
    contenders = sorted(data["contender"].unique(), key=lambda name: (not name.startswith(frames.OURS), name))
    if len(contenders) > 1:
        dashes = alt.Scale(domain=contenders, range=[DASHES[i % len(DASHES)] for i in range(len(contenders))])
        line = line.encode(strokeDash=alt.StrokeDash("contender:N", title="contender", scale=dashes))
    spread = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title="µs per time step"), y2="high:Q")
    points = base.mark_point().encode(
        y=y,
        shape=palette.shape(data["cell"]),
        tooltip=tooltips("cell", "contender", "shape", per_step="per step", whole="per call"),
    )
    return alt.layer(line.add_params(pick), spread, points)


def speed_up(records: Records, palette: Palette) -> list[Figure]:
    """Return the ratio of each peer's time to rnnbench's with its 95% interval, one figure for each peer and mode."""
    rows = []
    for own, other in frames.pairs(frames.times(records)):
        ratio, low, high = speed_ratio(other["samples"], own["samples"])
        sizes = [own[letter] for letter in frames.SIZES]
        row = {"cell": own["cell"], "mode": own["mode"], "peer": other["contender"], "ratio": ratio}
        row |= {"low": low, "high": high, "shape": "×".join(f"{one:.0f}" for one in sizes), "work": math.prod(sizes)}
        row |= {"ours": seconds(own["median"]), "theirs": seconds(other["median"]), "told": times(ratio, low, high)}
        rows.append(row)
    compared: frames.Frame = pd.DataFrame(rows)
    found = []
    for (peer, mode), data in compared.groupby(["peer", "mode"], sort=False) if rows else []:
        order = data.drop_duplicates("shape").sort_values("work")["shape"].tolist()
        tips = tooltips("cell", "shape", told="speed-up (95% interval)", ours="rnnbench", theirs=str(peer))
        chart = ratios_by_shape(data, order, palette, f"time of {peer} / ours", tips)
        caption = (
            f"Right of the dashed line rnnbench is faster than {peer}, left of it slower. Median of the paired ratios "
            "with its 95% bootstrap interval; an interval that crosses the line decides nothing. Rows: T × B × I × H."
        )
        found.append(
            Figure(
                file_stem(f"speed_up_over_{peer}_{mode}"),
                f"Speed-up over {peer}, {mode}",
                caption,
                chart,
                RATIO_ROWS,
                {"engine": str(peer)},
            )
        )
    return found


def ratios_by_shape(
    data: frames.Frame, shapes: list[str], palette: Palette, title: str, tips: list[alt.Tooltip]
) -> Chart:
    """Return each cell's ``ratio`` and its interval from ``low`` to ``high`` by shape, with a dashed line at 1."""
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    base = alt.Chart(data).encode(
        y=alt.Y("shape:N", title=None, sort=shapes, axis=alt.Axis(grid=True, tickBand="extent")),
        yOffset=alt.YOffset("cell:N", sort=list(palette.names)),
        color=palette.colour(data["cell"]),
        opacity=alt.when(pick).then(alt.value(1)).otherwise(alt.value(FADED)),
    )
    ends = pd.concat([data["ratio"], data["low"].dropna(), data["high"].dropna(), pd.Series([1.0])])
    x = alt.X("ratio:Q", title=title, **log_axis(ends, ticks=False))
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point().encode(x=x, shape=palette.shape(data["cell"]), tooltip=tips)
    level = alt.Chart(pd.DataFrame({"level": [1]})).mark_rule(strokeDash=[4, 4]).encode(x="level:Q")
    return alt.layer(level, interval, points.add_params(pick))


def memory(records: Records, palette: Palette) -> list[Figure]:
    """Return the memory of training at the shape most cells share: the engine's account and the measured growth."""
    memories = frames.memories(records)
    rows = verdict.memory_rows(memories)
    if rows.empty:
        return []
    parts = [("parameters", "parameter_bytes"), ("workspace", "workspace_bytes")]
    account = [
        {"cell": row["cell"], "part": part, "order": order, "MiB": row[column] / 2**20, "told": size(row[column])}
        for row in frames.rows_of(rows)
        for order, (part, column) in enumerate(parts)
        if pd.notna(row[column])
    ]
    grown = rows.dropna(subset=["peak_growth_bytes"])
    growth = pd.DataFrame({"cell": grown["cell"], "MiB": grown["peak_growth_bytes"] / 2**20})
    growth["told"] = [size(value) for value in grown["peak_growth_bytes"]]
    y = alt.Y("cell:N", title=None, sort=rows["cell"].tolist())
    x = alt.X("MiB:Q", title="MiB")
    layers, said = [], []
    if account:
        told = [part for part, column in parts if rows[column].notna().any()]
        scale = alt.Scale(domain=told, range=[1, 0.55][-len(told) :])
        # Vega's own legend symbols are black, which a dark page swallows.
        shade = alt.Opacity("part:O", title="account", scale=scale, legend=alt.Legend(symbolFillColor=QUIET))
        bars = alt.Chart(pd.DataFrame(account)).mark_bar()
        tips = tooltips("cell", "part", told="bytes")
        layers.append(bars.encode(y=y, x=x, order="order:O", color=palette.colour(), opacity=shade, tooltip=tips))
        said.append(f"bars: {' and '.join(told)} by the engine's own account")
    if len(growth):
        ticks = alt.Chart(growth).mark_tick(height=18, opacity=1)
        layers.append(ticks.encode(y=y, x=x, tooltip=tooltips("cell", told="peak growth")))
        said.append("upright strokes: the peak growth of a fresh process in one call")
    if not layers:
        return []
    mode = "training" if rows["training"].map(bool).all() else "a call"
    caption = f"{'; '.join(said)}; {frames.shape_text(frames.rows_of(rows)[0])}. Less is better."
    chart = alt.layer(*layers)
    return [Figure("memory", f"Memory of {mode}", caption[0].upper() + caption[1:], chart, Rows(26, ("cell",)))]


def score_against_length(records: Records, palette: Palette) -> list[Figure]:
    """Return the score of each task against sequence length, the range over seeds as a band, chance as a line."""
    trials = frames.trials(records)
    summary = standing.by_length(trials).dropna(subset=["score"])
    found = []
    for task, rows in summary.groupby("task"):
        seeds = trials[(trials["task"] == task) & trials["score"].notna()]
        data = rows.drop(columns=["base", "task"]).copy()
        data["told"] = [number(score) for score in data["score"]]
        data["success"] = [
            f"{row['solved']:.0f} of {row['runs']:.0f}" if row["rate"] == row["rate"] else "not recorded"
            for row in frames.rows_of(rows)
        ]
        several = rows["length"].nunique() > 1
        make = _against_length if several else _at_one_length
        chart = make(data, seeds[["cell", "length", "seed", "score"]], palette)
        caption = "Score on test sequences, 1 is best: "
        if seeds["seed"].isna().all():
            caption += "the mean over seeds, as the benchmark keeps it."
        else:
            caption += f"interquartile mean over seeds, the {'band' if several else 'dots'} all of them."
        if rows["chance_score"].notna().any():
            caption += (
                " Dashed: the score of the best blind guess (lower), and from which a task counts as solved (upper)."
            )
        length = "" if several or pd.isna(rows["length"].iloc[0]) else f" (T={rows['length'].iloc[0]:.0f})"
        high = 300 if several else Rows(26, ("cell",))
        title = f"{task}: score against length" if several else f"{task}: score{length}"
        found.append(Figure(file_stem(f"score_{task}"), title, caption, chart, high, {"task": task}))
    return found


def _against_length(data: frames.Frame, seeds: frames.Frame, palette: Palette) -> Chart:
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    shown = alt.when(pick)
    x = alt.X("length:Q", title="sequence length T", **log_axis(data["length"]))
    y = alt.Y("score:Q", title="score", scale=alt.Scale(domain=[0, 1]))
    base = alt.Chart(data).encode(x=x, color=palette.colour(data["cell"]))
    band = base.mark_area().encode(
        y=alt.Y("score_low:Q", title="score"),
        y2="score_high:Q",
        opacity=shown.then(alt.value(0.13 if len(data) <= 15 else 0.05)).otherwise(alt.value(0.02)),
    )
    bold = shown.then(alt.value(1)).otherwise(alt.value(FADED))
    line = base.mark_line().encode(y=y, opacity=bold)
    points = base.mark_point().encode(
        y=y,
        opacity=bold,
        shape=palette.shape(data["cell"]),
        tooltip=tooltips("cell", length="T", told="score", success="runs solved"),
    )
    levels = []
    for column in ("chance_score", "solved_at"):
        known = data.dropna(subset=[column]).drop_duplicates("length")
        if len(known):
            levels.append(
                alt.Chart(known).mark_line(strokeDash=[4, 4], strokeWidth=1, color=QUIET).encode(x=x, y=f"{column}:Q")
            )
    # On a layer that has the legend: the first, which altair would take, has none.
    return alt.layer(*levels, band, line.add_params(pick), points)


def _at_one_length(data: frames.Frame, seeds: frames.Frame, palette: Palette) -> Chart:
    order = data.sort_values("score", ascending=False)["cell"].tolist()
    y = alt.Y("cell:N", title=None, sort=order)
    x = alt.X("score:Q", title="score", scale=alt.Scale(domain=[0, 1]))
    colour = palette.colour()
    dots = (
        alt.Chart(seeds)
        .mark_point(opacity=0.6)
        .encode(x=x, y=y, color=colour, tooltip=tooltips("cell", "seed", "score"))
    )
    means = (
        alt.Chart(data)
        .mark_tick(height=18, opacity=1)
        .encode(x=x, y=y, tooltip=tooltips("cell", told="score", success="runs solved"))
    )
    levels = []
    for column in ("chance_score", "solved_at"):
        known = data.dropna(subset=[column]).head(1)
        if len(known):
            levels.append(alt.Chart(known).mark_rule(strokeDash=[4, 4]).encode(x=f"{column}:Q"))
    return alt.layer(*levels, dots, means)


def learning_curves(records: Records, palette: Palette) -> list[Figure]:
    """Return the training loss against the step for each task, one line a seed; a menu chooses the length."""
    trials = frames.trials(records)
    trials = trials[trials["curve"].map(len) > 1]
    found = []
    for task, group in trials.groupby("task"):
        limit = max(12, min(150, CURVE_POINTS // len(group)))
        points = []
        for trial in frames.rows_of(group):
            steps, losses = zip(*trial["curve"], strict=True)
            kept = thinned(steps, [math.nan if loss is None else loss for loss in losses], limit)
            about = {"cell": trial["cell"], "length": trial["length"], "seed": trial["seed"]}
            points += [
                {**about, "step": step, "loss": float(f"{loss:.4g}")} for step, loss in kept if loss > 0 and step > 0
            ]
        data = pd.DataFrame(points, columns=pd.Index(["cell", "length", "seed", "step", "loss"]))
        if data.empty:
            continue
        pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
        opacity = alt.when(pick).then(alt.value(0.75)).otherwise(alt.value(0.04))
        chart = (
            alt.Chart(data)
            .mark_line(strokeWidth=1.3)
            .encode(
                x=alt.X("step:Q", title="optimiser step"),
                y=alt.Y("loss:Q", title="training loss", **log_axis(data["loss"], ticks=False)),
                color=palette.colour(data["cell"]),
                strokeDash=palette.dash(data["cell"]),
                detail=["seed:N", "length:N"],
                opacity=opacity,
                tooltip=tooltips("cell", "seed", "step", "loss", length="T"),
            )
        )
        chart = chart.add_params(pick)
        lengths = sorted(data["length"].dropna().unique())
        if len(lengths) > 1:
            menu = alt.binding_select(options=[int(length) for length in lengths], name="sequence length T ")
            chosen = alt.selection_point(
                name="chosen", fields=["length"], bind=menu, value=[{"length": int(lengths[-1])}]
            )
            chart = chart.add_params(chosen).transform_filter(chosen)
        caption = (
            f"One line for each seed, at most {limit} points a line, each the median of its stretch. A line ends where "
            "the task was solved, the budget spent or the run diverged."
        )
        if len(lengths) > 1:
            caption += f" Shown first: T={int(lengths[-1])}, the longest."
        found.append(
            Figure(file_stem(f"learning_{task}"), f"{task}: learning curves", caption, chart, 300, {"task": task})
        )
    return found
