"""The first thing that the report says: one sentence, and one picture of error, time and parameters."""

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from rnnbench.cells import cells, get_cell
from rnnbench.report import frames, standing, verdict
from rnnbench.report.figure import Chart, Figure, log_axis, tooltips
from rnnbench.report.palette import TEXT, Palette
from rnnbench.report.point_labels import place_labels
from rnnbench.report.quantities import NOT_MEASURED, listed, number, seconds, whole
from rnnbench.report.section import Evidence
from rnnbench.report.speed_tables import NOISE_FLOOR

WIDTH, HEIGHT = 480, 300
# Names beside points stay readable up to so many.
MOST_NAMES = 14


def trade_offs(evidence: Evidence) -> frames.Frame:
    """Return one row for each cell: cell, base, error, seconds, params (NaN where not measured) and front.

    error: 1 less the mean score on the tasks that say how long a cell remembers; seconds: of a training step (else a
    forward pass) at the shape that most cells share; front: no cell is better in one of the three that were measured
    and not worse in another.
    """
    records = list(evidence.records)
    trials, memory = frames.trials(records), frames.memories(records)
    times = verdict.speed_rows(frames.times(records))
    took = dict(zip(times["cell"], times["median"], strict=True))
    counts, _ = verdict.parameter_counts(memory, trials)
    counts = _derived_counts(times) | counts
    rows = [
        {"cell": row["cell"], "base": row["base"], "error": 1 - row["score"]}
        for row in (frames.rows_of(standing.ranking(trials)) if len(trials) else [])
    ]
    known = {row["base"] for row in rows}
    rows += [{"cell": cell, "base": cell, "error": np.nan} for cell in took if cell not in known]
    for row in rows:
        row |= {"seconds": took.get(row["base"], np.nan), "params": counts.get(row["base"], np.nan)}
    columns = ["cell", "base", "error", "seconds", "params"]
    frame: frames.Frame = pd.DataFrame(rows, columns=pd.Index(columns))
    measured = [name for name in columns[2:] if frame[name].notna().any()]
    # A cell that lacks one of the three cannot be compared in it, and so neither beats nor is beaten.
    whole_rows = frame.dropna(subset=measured)
    values = whole_rows[measured].to_numpy(dtype=float)
    beaten = [bool(((values <= one).all(axis=1) & (values < one).any(axis=1)).any()) for one in values]
    front = dict(zip(whole_rows["cell"], np.logical_not(beaten), strict=True))
    return frame.assign(front=[bool(front.get(cell, False)) for cell in frame["cell"]])


def _derived_counts(times: frames.Frame) -> dict[str, float]:
    """Return the parameters of each cell that is installed here, at I and H of the rows that rank cells by speed."""
    here = set(cells())
    rows = times.dropna(subset=["I", "H"])
    return {
        row["cell"]: float(get_cell(row["cell"]).param_count(int(row["I"]), int(row["H"])))
        for row in frames.rows_of(rows)
        if row["cell"] in here
    }


def pareto(evidence: Evidence) -> Figure | None:
    """Return the picture of the trade-off, or None where fewer than two cells have two quantities in common."""
    rows = trade_offs(evidence)
    pairs = [("seconds", "error"), ("params", "error"), ("seconds", "params")]
    across, up = next((pair for pair in pairs if len(rows.dropna(subset=list(pair))) > 1), ("", ""))
    if not across:
        return None
    data = rows.dropna(subset=[across, up]).sort_values(["front", up, across], ascending=[False, True, True])
    times = verdict.speed_rows(frames.times(evidence.records))
    sized = "params" not in (across, up) and data["params"].notna().any()
    data["time"] = [seconds(value) for value in data["seconds"]]
    data["count"] = [whole(value) for value in data["params"]]
    data["mistakes"] = [number(value) for value in data["error"]]
    data["standing"] = ["on the front" if front else "beaten" for front in data["front"]]
    data["seconds"] *= 1e3
    step = _step(times)
    titles = {"seconds": f"{step}, ms", "params": "parameters", "error": "error (1 - score)"}
    chart = _chart(data.drop(columns=["base", "front"]), across, up, titles, sized, evidence.palette)
    missing = sorted(set(rows["cell"]) - set(data["cell"]))
    return Figure(
        "pareto",
        _title(across, up, sized),
        _caption(evidence, times, across, up, sized, missing),
        chart,
        HEIGHT,
        told=_told(data, step),
    )


def _title(across: str, up: str, sized: bool) -> str:
    names = {"error": "Error", "seconds": "time", "params": "parameters"}
    shown = [names[up], names[across], *(["parameters"] if sized else [])]
    return f"{listed([shown[0].capitalize(), *shown[1:]])} of each cell"


def _step(times: frames.Frame) -> str:
    return "forward pass" if len(times) and times["mode"].iloc[0] == "forward" else "training step"


def _caption(evidence: Evidence, times: frames.Frame, across: str, up: str, sized: bool, missing: list[str]) -> str:
    said = ["Down and to the left is better."]
    if up == "error":
        trials = frames.trials(evidence.records)
        tasks = standing.memory_tasks(trials)
        said.append(f"Error: 1 less the mean score over {listed(tasks)}, all lengths that every cell was tried at.")
    if across == "seconds":
        said.append(f"Time: the median {_step(times)} at {frames.shape_text(frames.rows_of(times)[0])}.")
    if sized:
        said.append("A larger mark has more parameters.")
    said.append("Filled: no other cell is better in one of these without being worse in another.")
    if missing:
        said.append(f"Not measured in both, so not shown: {listed(missing)}.")
    return " ".join(said)


def _told(data: frames.Frame, step: str) -> str:
    each = []
    for row in frames.rows_of(data.sort_values("error" if data["error"].notna().any() else "seconds")):
        parts = [
            f"error {row['mistakes']}" if row["error"] == row["error"] else "",
            f"{row['time']} for a {step}" if row["seconds"] == row["seconds"] else "",
            f"{row['count']} parameters" if row["params"] == row["params"] else "",
        ]
        each.append(f"{row['cell']}: {', '.join(filter(None, parts))}")
    return f"A point for each cell. {'; '.join(each)}."


def _chart(data: frames.Frame, across: str, up: str, titles: dict[str, str], sized: bool, palette: Palette) -> Chart:
    axes = {name: _axis(data[name], name) for name in (across, up)}
    data = data.assign(**_labels(data, across, up, axes))
    base = alt.Chart(data).encode(
        x=alt.X(f"{across}:Q", title=titles[across], **axes[across]),
        y=alt.Y(f"{up}:Q", title=titles[up], **axes[up]),
    )
    tips = tooltips(
        "cell", "standing", mistakes="error", time=titles["seconds"].removesuffix(", ms"), count="parameters"
    )
    points = base.mark_point(filled=True, opacity=1, strokeWidth=2).encode(
        color=palette.colour(),
        stroke=alt.Stroke("cell:N", scale=palette.scale, legend=None),
        shape=palette.shape(),
        fillOpacity=alt.FillOpacity(
            "standing:O", scale=alt.Scale(domain=["on the front", "beaten"], range=[1, 0]), legend=None
        ),
        tooltip=tips,
    )
    if sized:
        sizes = alt.Scale(domain=[0, float(data["params"].max())], range=[25, 500])
        legend = alt.Legend(
            title="parameters",
            values=_round_numbers(float(data["params"].min()), float(data["params"].max())),
            direction="horizontal",
            columns=3,
            symbolFillColor="transparent",
            symbolStrokeColor=TEXT,
        )
        points = points.encode(size=alt.Size("params:Q", scale=sizes, legend=legend))
    else:
        points = points.encode(size=alt.value(140))
    # An offset that differs from one text to the next is an expression; an alignment is a layer of its own.
    dx, dy = alt.ExprRef("datum.dx"), alt.ExprRef("datum.dy")
    names = [
        base.transform_filter(f"datum.align == '{align}' && datum.name")
        .mark_text(align=align, baseline="middle", color=TEXT, fontSize=12, dx=dx, dy=dy)
        .encode(text="name:N")
        for align in sorted(set(data["align"]))
    ]
    return alt.layer(points, *names)


def _labels(data: frames.Frame, across: str, up: str, axes: dict[str, Any]) -> dict[str, list[Any]]:
    """Return name, align, dx and dy of the text beside each point, as they fit into the narrowest chart of a desk."""

    def share(value: float, axis: str) -> float:
        scale = axes[axis]["scale"]
        low, high = scale.domain
        if getattr(scale, "type", None) == "log":
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low)

    points = [(WIDTH * share(row[across], across), HEIGHT * (1 - share(row[up], up))) for row in frames.rows_of(data)]
    # Those that nothing beats come first.
    wanted = [cell if place < MOST_NAMES else "" for place, cell in enumerate(data["cell"])]
    labels = place_labels(points, wanted, WIDTH, HEIGHT)
    return {name: [getattr(label, field) for label in labels] for name, field in _LABEL_FIELDS.items()}


_LABEL_FIELDS = {"name": "text", "align": "align", "dx": "dx", "dy": "dy"}


def _axis(values: frames.Frame, name: str) -> dict[str, Any]:
    if name == "error":
        return {"scale": alt.Scale(domain=[0, min(1.0, float(values.max()) * 1.1) or 1.0], nice=False)}
    return log_axis(values, ticks=False)


def _round_numbers(low: float, high: float) -> list[float]:
    """Return up to three round numbers from ``low`` to ``high``, what a legend of sizes shows."""
    numbers = [m * 10.0**e for e in range(13) for m in (1, 2, 5) if low / 1.5 <= m * 10.0**e <= high * 1.5]
    return sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]}) if numbers else [high]


def headline(evidence: Evidence, answers: list[verdict.Answer]) -> str:
    """Return the report's answer in one sentence: what remembers longest at what cost, and what is cheaper.

    Where memory and speed were not both measured, the first of ``answers`` that says something on a cell.
    """
    records = list(evidence.records)
    trials = frames.trials(records)
    trials = trials[~trials["control"].astype(bool)]
    times = verdict.speed_rows(frames.times(records))
    ranked = standing.ranking(trials) if len(trials) else pd.DataFrame({"share": []})
    solved = ranked[ranked["share"] > 0]
    told = [answer.sentence for answer in answers if answer.winner != NOT_MEASURED and answer.question != NOISE_FLOOR]
    if solved.empty or times.empty:
        if not told and len(times):
            told = [verdict.answers(records)[0].sentence]
        return (told[-1] if len(trials) and told else told[0]) if told else "Nothing was measured."
    return _choice(trials, frames.rows_of(solved)[0], times, trade_offs(evidence))


def _choice(trials: frames.Frame, best: frames.Row, times: frames.Frame, rows: frames.Frame) -> str:
    cell, lengths = str(best["cell"]), standing.by_length(trials)
    tasks = standing.memory_tasks(trials)
    mine = next(row for row in frames.rows_of(rows) if row["cell"] == cell)
    fastest, step = frames.rows_of(times)[0], _step(times)
    costs = [f"{seconds(mine['seconds'])} a {step}"] if mine["seconds"] == mine["seconds"] else []
    costs += [f"{whole(mine['params'])} parameters"] if mine["params"] == mine["params"] else []
    sentence = f"{cell} remembers longest here, {_reach(lengths, cell, tasks)}"
    sentence += f", at {listed(costs)}" if costs else ""
    if fastest["cell"] == best["base"]:
        return f"{sentence}, and no cell is faster."
    if mine["seconds"] != mine["seconds"]:
        return f"{sentence}."
    sentence += f"; {fastest['cell']} is {number(mine['seconds'] / fastest['median'])} times as fast"
    other = next((str(row["cell"]) for row in frames.rows_of(rows) if row["base"] == fastest["cell"]), "")
    if other in set(lengths["cell"]):
        reached = _reach(lengths, other, tasks)
        sentence += f" but remembers only {reached}" if reached else " but solved none of these tasks"
    return f"{sentence}."


def _reach(lengths: frames.Frame, cell: str, tasks: list[str]) -> str:
    """Return "adding up to T=200 and copy up to T=60": the longest first, at most three; "" if none was solved."""
    found = []
    for task in tasks:
        reached = standing.reach(lengths[(lengths["cell"] == cell) & (lengths["task"] == task)])
        if reached is not None:
            found.append((reached["length"] if reached["length"] == reached["length"] else 0, task))
    phrases = [f"{task} up to T={int(length)}" if length else task for length, task in sorted(found, reverse=True)]
    more = len(phrases) - 3
    return listed(phrases if more < 1 else [*phrases[:3], f"{more} more task{'s' if more > 1 else ''}"])
