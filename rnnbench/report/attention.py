"""The picture of attention: how much each step counts where a model pools the states of all steps by attention."""

from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report import frames
from rnnbench.report.figure import Chart, Figure, Rows, file_stem, tooltips
from rnnbench.report.palette import ACCENT, QUIET
from rnnbench.report.quantities import number
from rnnbench.report.section import Evidence, Section

COLUMNS = 120
"""At most so many stretches of a sequence are told apart: more are thinner than a pixel on a phone."""


def attention_section(evidence: Evidence) -> Section:
    """Return a picture for each task and length: sequences across, a stripe for each, darker where it is looked at.

    Shown are the sequences that the trial with the lowest seed of each cell kept. A mean over all steps, which weighs
    all alike, is no attention.
    """
    trials = frames.trials(evidence.records).sort_values("seed")
    trials = trials[trials["attention"].map(_looks_somewhere).astype(bool)]
    found = []
    for (task, length), group in trials.groupby(["task", "length"]):
        first = group.drop_duplicates("cell")
        # The settings that tell trials of a cell apart elsewhere say nothing where there is one trial of each.
        alone = first["base"].is_unique
        found.append(_figure(str(task), int(length), first.assign(cell=first["base"]) if alone else first))
    text = (
        "Where the readout sees all steps through attention, these are the weights that it gives them after training, "
        "on sequences of the test split."
    )
    return Section("attention", "Attention", [text], found)


def _looks_somewhere(weights: list[list[float]]) -> bool:
    return any(len(sequence) > 1 and max(sequence) > min(sequence) for sequence in weights)


def _figure(task: str, length: int, trials: frames.Frame) -> Figure:
    stripes = [stripe for row in frames.rows_of(trials) for stripe in _stripes(row)]
    data: frames.Frame = pd.DataFrame(stripes)
    chart = _chart(data, sorted(trials["cell"]))
    caption = (
        "Across: the steps of a sequence, the last one right. Each cell has a stripe for every sequence shown; the "
        "darker, the more the step counts, relative to the step that counts most in its sequence."
    )
    if (data["to"] - data["step"]).max() > 1:
        caption += " Where a stripe has more steps than places, a place shows the largest weight of its steps."
    told = [_told(row) for row in frames.rows_of(trials)]
    name = file_stem(f"attention_{task}_{length}")
    described = f"Attention weights of {task} at T={length}. {caption} {' '.join(told)}"
    title = f"{task}: attention at T={length}"
    return Figure(name, title, caption, chart, Rows(9, ("cell", "sequence")), {"task": task}, described)


def _stripes(row: frames.Row) -> list[dict[str, Any]]:
    found = []
    for place, weights in enumerate(row["attention"], start=1):
        wide, most = -(-len(weights) // COLUMNS), max(weights) or 1.0
        for start in range(0, len(weights), wide):
            largest = max(weights[start : start + wide])
            stripe = {"cell": row["cell"], "sequence": place, "step": start, "to": min(start + wide, len(weights))}
            found.append({**stripe, "weight": largest, "share": round(largest / most, 3)})
    return found


def _told(row: frames.Row) -> str:
    first = row["attention"][0]
    step = max(range(len(first)), key=first.__getitem__)
    return f"{row['cell']} looks most at step {step + 1} of the first sequence, with weight {number(first[step])}."


def _chart(data: frames.Frame, cells: list[str]) -> Chart:
    most = int(data["to"].max())
    legend = alt.Legend(
        title="weight, of the largest", symbolFillColor=ACCENT, symbolType="square", symbolStrokeWidth=0
    )
    return (
        alt.Chart(data)
        .mark_rect(color=ACCENT)
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, most], nice=False), axis=alt.Axis(grid=False)),
            x2="to:Q",
            y=alt.Y("cell:N", title=None, sort=cells, axis=alt.Axis(tickColor=QUIET, tickBand="extent")),
            yOffset=alt.YOffset("sequence:O"),
            opacity=alt.Opacity("share:Q", legend=legend, scale=alt.Scale(domain=[0, 1], range=[0.03, 1])),
            tooltip=tooltips("cell", "sequence", "step", weight="largest weight"),
        )
    )
