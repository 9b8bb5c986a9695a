"""The figures of gradient flow: gradients back through time, Lyapunov spectra, and what a state remembers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from rnnbench.report import frames
from rnnbench.report.figure import CURVE_POINTS, FADED, Chart, Figure, file_stem
from rnnbench.report.gradients import WORDS, FlowRow, by_setting, flow_rows, magnitude, signed
from rnnbench.report.palette import QUIET, Palette
from rnnbench.report.quantities import number

HEIGHT = 320
# Below, a curve ends: nothing is learned from a gradient this small, and one cell must not squeeze the others flat.
_SMALLEST_POWER = -20
_SMALLEST_EXPONENT = -3.0
_DASHES = {"trained": [1, 0], "initial": [4, 3]}


def gradient_figures(records: Iterable[Mapping[str, Any]], palette: Palette) -> list[Figure]:
    """Return three figures for each setting: G(k) against the lag, the Lyapunov spectrum, and r² against the lag."""
    found = []
    groups = by_setting(flow_rows(records))
    for setting, rows in groups.items():
        drawn = [make(setting, rows, palette) for make in (_gains, _spectra, _memories)]
        found += [figure for figure in drawn if figure is not None]
    # The files of a single setting need no long names.
    return found if len(groups) > 1 else [replace(figure, name=figure.name.partition("__")[0]) for figure in found]


def _gains(setting: str, rows: Sequence[FlowRow], palette: Palette) -> Figure | None:
    points = []
    for row in rows:
        powers = np.concatenate([[0.0], row.log_gain / math.log(10.0)])
        for k in _thinned(len(powers), len(rows)):
            if powers[k] >= _SMALLEST_POWER:
                told = magnitude(powers[k] * math.log(10.0))
                points.append({**_about(row), "x": k, "y": round(float(powers[k]), 4), "told": told})
    axis = alt.Axis(labelExpr="datum.value == 0 ? '1' : '10^' + datum.value", tickMinStep=1)
    caption = (
        "How much of a gradient arrives k steps earlier: the largest singular value of the product of k one-step "
        "Jacobians of all states, mean over sequences. A line that falls straight vanishes by the same factor each "
        f"step; one above 1 explodes. Lines end at 10^{_SMALLEST_POWER}."
    )
    y = alt.Y("y:Q", title="G(k)", axis=axis)
    x = alt.X("x:Q", title="k, steps back from the last", axis=alt.Axis(tickMinStep=1))
    return _figure("gradients", "Gradients back through time", caption, setting, points, x, y, palette, "G(k)", 0.0)


def _spectra(setting: str, rows: Sequence[FlowRow], palette: Palette) -> Figure | None:
    points = []
    for row in rows:
        for i in _thinned(len(row.exponents), len(rows)):
            value = float(row.exponents[i])
            if value >= _SMALLEST_EXPONENT:
                share = (i + 0.5) / len(row.exponents)
                points.append({**_about(row), "x": round(share, 4), "y": round(value, 5), "told": signed(value)})
    caption = (
        "Lyapunov exponents, largest first, median over sequences: the logarithm of the factor by which a direction of "
        "the state grows or shrinks per step. At 0 it keeps what it holds, above 0 small differences grow (chaos, and "
        "exploding gradients), far below it forgets. Across: the share of a cell's directions. What lies below "
        f"{_SMALLEST_EXPONENT:g} is not drawn, nor what is lost exactly, as in a relu that is off."
    )
    x = alt.X("x:Q", title="share of directions", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    y = alt.Y("y:Q", title="exponent per step")
    return _figure("lyapunov", "Lyapunov spectrum", caption, setting, points, x, y, palette, "exponent", 0.0)


def _memories(setting: str, rows: Sequence[FlowRow], palette: Palette) -> Figure | None:
    remembered = [np.flatnonzero(row.capacity) for row in rows]
    last = max((int(lags[-1]) for lags in remembered if len(lags)), default=-1)
    points = []
    for row in rows:
        for k in _thinned(min(last + 2, len(row.capacity)), len(rows)):
            value = float(row.capacity[k])
            points.append({**_about(row), "x": k, "y": round(value, 4), "told": number(value)})
    caption = (
        "How well the input of k steps ago can be read from the state by a linear readout, for independent random "
        "inputs: r² on sequences that the readout was not fitted on, summed over the inputs. The area under a line is "
        "the memory capacity."
    )
    x = alt.X("x:Q", title="k, steps back", axis=alt.Axis(tickMinStep=1))
    y = alt.Y("y:Q", title="r²", scale=alt.Scale(domainMin=0))
    if last < 0:
        return None
    return _figure("memory_capacity", "What a state remembers", caption, setting, points, x, y, palette, "r²", None)


def _about(row: FlowRow) -> dict[str, str]:
    return {"cell": row.cell, "weights": WORDS[row.weights]}


def _thinned(count: int, lines: int) -> list[int]:
    """Return which of ``count`` points of a line are drawn: the ends, and between them what all lines have room for."""
    most = max(30, CURVE_POINTS // max(1, lines))
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def _figure(
    name: str,
    title: str,
    caption: str,
    setting: str,
    points: list[dict[str, Any]],
    x: alt.X,
    y: alt.Y,
    palette: Palette,
    told: str,
    level: float | None,
) -> Figure | None:
    data: frames.Frame = pd.DataFrame(points)
    if data.empty:
        return None
    if data["weights"].nunique() > 1:
        caption += " Dashed: at initialisation."
    chart = _lines(data, x, y, palette, told, level)
    return Figure(f"{name}__{file_stem(setting)}", f"{title}: {setting}", caption, chart, HEIGHT)


def _lines(data: frames.Frame, x: alt.X, y: alt.Y, palette: Palette, told: str, level: float | None) -> Chart:
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    lines = (
        alt.Chart(data)
        .mark_line()
        .encode(
            x=x,
            y=y,
            color=palette.colour(data["cell"]),
            opacity=alt.when(pick).then(alt.value(1)).otherwise(alt.value(FADED)),
            tooltip=[
                alt.Tooltip("cell:N", title="cell"),
                alt.Tooltip("weights:N", title="weights"),
                alt.Tooltip("x:Q", title="at"),
                alt.Tooltip("told:N", title=told),
            ],
        )
    )
    shown = [weights for weights in WORDS if WORDS[weights] in set(data["weights"])]
    dashes = alt.Scale(domain=[WORDS[one] for one in shown], range=[_DASHES[one] for one in shown])
    legend = alt.Legend(title="weights", symbolStrokeColor=QUIET) if len(shown) > 1 else None
    lines = lines.encode(strokeDash=alt.StrokeDash("weights:N", scale=dashes, legend=legend))
    if len(shown) == 1:  # one kind of weights: dashes are free to tell cells apart once the colours repeat
        lines = lines.encode(strokeDash=palette.dash(data["cell"]))
    lines = lines.add_params(pick)
    if level is None:
        return lines
    rule = alt.Chart(pd.DataFrame({"level": [level]})).mark_rule(strokeDash=[4, 4]).encode(y="level:Q")
    return alt.layer(rule, lines)
