"""A comparison as one picture: every run, how many had solved their task by which step, and the pairs."""

import json
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import vl_convert

from rnnbench.report.figure import Chart
from rnnbench.report.palette import QUIET, TEXT, Palette, solid, theme
from rnnbench.report.quantities import number, percent

if TYPE_CHECKING:
    from rnnbench.compare.comparison import Comparison

WIDTH = 520
_ROW = 24


def figure(comparison: "Comparison") -> alt.VConcatChart:
    """Return the picture with its colours and fonts, for a notebook or a file."""
    palette = Palette(sorted(comparison.cells))
    parts: list[Chart] = [_scores(comparison, palette)]
    if comparison.table["solved"].sum() > 0:
        parts.append(_solving(comparison, palette))
    parts.append(_pairs(comparison))
    made = alt.vconcat(*parts, spacing=28).resolve_scale(color="independent", strokeDash="independent")
    # Colours are names of the report's page until here: a picture of its own needs the colours themselves.
    look = {**theme(), "background": "white"}
    # Altair, which checks the chart again when a notebook shows it, does not know how legends lie to one another.
    look["legend"] = {name: value for name, value in look["legend"].items() if name != "layout"}
    specification = {**made.to_dict(), "config": look}
    return alt.VConcatChart.from_dict(json.loads(solid(json.dumps(specification))))


def svg(chart: alt.VConcatChart) -> str:
    """Return a chart as SVG, drawn here: a notebook needs neither network nor extension to show it."""
    return vl_convert.vegalite_to_svg(json.dumps(chart.to_dict(validate=False)))


def png(chart: alt.VConcatChart, scale: float = 2) -> bytes:
    """Return a chart as PNG."""
    return vl_convert.vegalite_to_png(json.dumps(chart.to_dict(validate=False)), scale=scale)


def _runs(comparison: "Comparison") -> list[dict[str, Any]]:
    several = len(next(iter(comparison.runs.values()))) > 1
    rows = []
    for cell, strata in comparison.runs.items():
        for (task, length), runs in strata.items():
            place = task if length in ("None", "nan") else f"{task}, T={float(length):.0f}"
            for run in runs:
                row = {"cell": cell, "place": place if several else "", "seed": run["seed"], "score": run["score"]}
                row |= {"solved": bool(run["solved"]), "budget": run["budget"], "level": run["solved_at"]}
                rows.append(row | {"steps": run["steps_to_solve"] if run["solved"] else run["budget"]})
    return rows


def _scores(comparison: "Comparison", palette: Palette) -> Chart:
    rows = comparison.table
    y = alt.Y("cell:N", title=None, sort=comparison.cells)
    title = "score of each run, and their interquartile mean"
    x = alt.X("score:Q", title=title, scale=alt.Scale(domain=[0, 1]))
    tips = [alt.Tooltip(f"{name}:N") for name in ("cell", "place", "seed")] + [alt.Tooltip("score:Q", format=".3f")]
    dots = alt.Chart(pd.DataFrame(_runs(comparison))).mark_point(opacity=0.55, size=45)
    dots = dots.encode(x=x, y=y, color=palette.colour(), shape=palette.shape(), tooltip=tips)
    means = rows[["cell", "score", "score_low", "score_high"]].assign(told=[number(value) for value in rows["score"]])
    rules = alt.Chart(means).mark_rule(strokeWidth=2, color=TEXT)
    rules = rules.encode(x=alt.X("score_low:Q", title=title), x2="score_high:Q", y=y)
    ticks = alt.Chart(means).mark_tick(height=16, opacity=1, color=TEXT)
    ticks = ticks.encode(x=x, y=y, tooltip=[alt.Tooltip("cell:N"), alt.Tooltip("told:N", title="interquartile mean")])
    return alt.layer(dots, rules, ticks).properties(width=WIDTH, height=_ROW * len(rows), title="Scores")


def _solving(comparison: "Comparison", palette: Palette) -> Chart:
    """Return the share of runs that had solved their task by each step: one minus the Kaplan-Meier curve."""
    points = []
    for cell in comparison.cells:
        runs = [row for row in _runs(comparison) if row["cell"] == cell]
        end = max(row["budget"] for row in runs)
        steps = sorted(row["steps"] for row in runs if row["solved"])
        ends = [(0.0, 0)] + [(step, place) for place, step in enumerate(steps, 1)] + [(end, len(steps))]
        points += [{"cell": cell, "step": step, "share": count / len(runs)} for step, count in ends]
    data = pd.DataFrame(points)
    y = alt.Y("share:Q", title="runs solved", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    tips = [alt.Tooltip("cell:N"), alt.Tooltip("step:Q"), alt.Tooltip("share:Q", format=".0%", title="solved by then")]
    chart = alt.Chart(data).mark_line(interpolate="step-after", strokeWidth=2)
    chart = chart.encode(
        x=alt.X("step:Q", title="optimiser step"),
        y=y,
        color=palette.colour(data["cell"]),
        strokeDash=palette.dash(data["cell"]),
        tooltip=tips,
    )
    return chart.properties(width=WIDTH, height=150, title="Solved by step")


def _pairs(comparison: "Comparison") -> Chart:
    rows = comparison.pairs
    data = rows[["wins", "wins_low", "wins_high"]].assign(
        pair=[f"{a} over {b}" for a, b in zip(rows["better"], rows["worse"], strict=True)],
        told=[percent(value) for value in rows["wins"]],
        real=["real" if real else "not real at these seeds" for real in rows["real"]],
    )
    y = alt.Y("pair:N", title=None, sort=data["pair"].tolist(), axis=alt.Axis(labelLimit=320))
    title = "probability that a run comes out better"
    x = alt.X("wins:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    base = alt.Chart(data).encode(y=y)
    rules = base.mark_rule(strokeWidth=2, color=TEXT).encode(x=alt.X("wins_low:Q", title=title), x2="wins_high:Q")
    kinds = alt.Scale(domain=["real", "not real at these seeds"], range=[TEXT, "white"])
    fill = alt.Fill("real:N", title="difference", scale=kinds, legend=alt.Legend(symbolStrokeColor=TEXT))
    tips = [alt.Tooltip("pair:N"), alt.Tooltip("told:N", title="wins"), alt.Tooltip("real:N", title="difference")]
    points = base.mark_point(size=80, opacity=1, stroke=TEXT, strokeWidth=1.5).encode(x=x, fill=fill, tooltip=tips)
    level = alt.Chart(pd.DataFrame({"level": [0.5]})).mark_rule(strokeDash=[4, 4], color=QUIET).encode(x="level:Q")
    return alt.layer(level, rules, points).properties(width=WIDTH, height=_ROW * len(data) + 10, title="Pairs")
