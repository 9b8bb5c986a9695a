"""asv's benchmarks over commits: a figure for each benchmark, the newest changes, and every latest value."""

from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report import frames
from rnnbench.report.figure import FADED, Chart, Figure, file_stem, log_axis
from rnnbench.report.palette import DASHES, QUIET, Palette
from rnnbench.report.quantities import number, seconds, size, times, whole
from rnnbench.report.tables import Column, Entry, Table, table

SERIES = ["benchmark", "params", "machine", "environment"]


def frame_of(history: list[dict[str, Any]]) -> frames.Frame:
    """Return one row for each benchmark, combination of parameters, machine and commit, oldest first.

    Columns: those of ``asv_results.read``'s history, with cell and the other parameters as texts ("" without any).
    """
    columns = [
        "benchmark",
        "unit",
        "params",
        "cell",
        "machine",
        "environment",
        "commit",
        "date",
        "value",
        "low",
        "high",
    ]
    rows = []
    for entry in history:
        others = {name: value for name, value in entry["params"].items() if name != "cell"}
        texts = {"cell": entry["params"].get("cell", ""), "others": _named(others), "params": _named(entry["params"])}
        rows.append({**{name: entry[name] for name in columns if name in entry}, **texts})
    frame = pd.DataFrame(rows, columns=pd.Index([*columns, "others"]))
    return frame.astype({"low": float, "high": float}).sort_values(["date", *SERIES], ignore_index=True)


def _named(params: dict[str, str]) -> str:
    return ", ".join(value if name in ("cell", "task", "mode") else f"{name}={value}" for name, value in params.items())


def figures(history: list[dict[str, Any]], palette: Palette) -> list[Figure]:
    """Return one figure for each benchmark that was run on more than one commit."""
    found = []
    for benchmark, rows in frame_of(history).groupby("benchmark"):
        if rows.groupby(SERIES[1:])["commit"].nunique().max() < 2:
            continue
        rows = rows.copy()
        rows["when"] = pd.to_datetime(rows["date"], unit="ms", utc=True).dt.strftime("%Y-%m-%d")
        rows["told"] = [_value(row["value"], row["unit"]) for row in frames.rows_of(rows)]
        unit = str(rows["unit"].iloc[0])
        caption = (
            "Each line is one combination of the benchmark's parameters, oldest commit first; upright strokes are "
            "asv's 99% intervals. Lower is better."
        )
        name = file_stem(f"history_{benchmark}")
        found.append(Figure(name, str(benchmark), caption, _over_commits(rows, unit, palette), 280))
    return found


def _over_commits(rows: frames.Frame, unit: str, palette: Palette) -> Chart:
    title, factor = _AXES.get(unit, (unit or "value", 1.0))
    rows = rows.assign(**{name: rows[name] * factor for name in ("value", "low", "high")})
    ends: frames.Frame = pd.concat([rows["value"], rows["low"].dropna(), rows["high"].dropna()])
    # A logarithmic axis has no place for a count or an error of 0.
    axis: dict[str, Any] = log_axis(ends, ticks=False) if (ends > 0).all() else {"scale": alt.Scale(zero=False)}
    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    several = rows["others"].nunique() > 1
    order = rows.drop_duplicates("commit")["commit"].tolist()
    base = alt.Chart(rows.drop(columns=["date"])).encode(
        x=alt.X("commit:N", title="commit", sort=order, axis=alt.Axis(labelAngle=-45, labelOverlap=True)),
        color=palette.colour(rows["cell"]) if rows["cell"].any() else alt.value(QUIET),
        detail=["others:N", "machine:N", "environment:N"],
        opacity=alt.when(pick).then(alt.value(1)).otherwise(alt.value(FADED)),
    )
    y = alt.Y("value:Q", title=title, **axis)
    line = base.mark_line().encode(y=y)
    if several:
        kinds = sorted(rows["others"].unique())
        dashes = alt.Scale(domain=kinds, range=[DASHES[i % len(DASHES)] for i in range(len(kinds))])
        line = line.encode(strokeDash=alt.StrokeDash("others:N", title="parameters", scale=dashes))
    spread = base.mark_rule().encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    tips = [alt.Tooltip(f"{field}:N", title=shown) for field, shown in _TIPS.items()]
    points = base.mark_point().encode(y=y, tooltip=tips)
    if rows["cell"].any():
        points = points.encode(shape=palette.shape(rows["cell"]))
    line = line.add_params(pick)
    return alt.layer(line, spread, points) if rows["low"].notna().any() else alt.layer(line, points)


_AXES = {"seconds": ("ms", 1e3), "bytes": ("MiB", 1 / 2**20)}
_TIPS = {"params": "parameters", "commit": "commit", "when": "date", "told": "value", "machine": "machine"}


def changes_table(history: list[dict[str, Any]]) -> Table | None:
    """Return how each series changed from the last commit but one to the last, the largest growth first."""
    rows = []
    for _, series in frame_of(history).groupby(SERIES):
        if series["commit"].nunique() < 2:
            continue
        before, now = frames.rows_of(series)[-2:]
        ratio = now["value"] / before["value"] if before["value"] else float("nan")
        rows.append({**now, "before": before["value"], "since": before["commit"], "ratio": ratio})
        rows[-1]["result"] = _change(before, now)
    if not rows:
        return None
    frame: frames.Frame = pd.DataFrame(rows).sort_values("ratio", ascending=False)
    columns: list[Column] = [("benchmark", "benchmark", None), ("parameters", "params", None)]
    columns += [
        ("machine", "machine" if frame["machine"].nunique() > 1 else _nothing, whole),
        ("commits", lambda row: f"{row['since']} → {row['commit']}", None),
        ("before", lambda row: Entry(_value(row["before"], row["unit"]), row["before"]), number),
        ("now", lambda row: Entry(_value(row["value"], row["unit"]), row["value"]), number),
        (
            "now / before",
            lambda row: Entry(times(row["ratio"]), row["ratio"]) if row["ratio"] == row["ratio"] else None,
            number,
        ),
        ("change", "result", None),
    ]
    caption = (
        "From the last commit but one to the last. Times are worse or better where asv's 99% intervals do not overlap; "
        "values without an interval, where they differ. Lower is better everywhere."
    )
    return table("changes", "Newest changes", caption, frame, columns)


def _change(before: frames.Row, now: frames.Row) -> str:
    intervals = pd.notna([before["low"], before["high"], now["low"], now["high"]]).all()
    low, high = (now["low"], now["high"]) if intervals else (now["value"], now["value"])
    below, above = (before["low"], before["high"]) if intervals else (before["value"], before["value"])
    return "worse" if low > above else "better" if high < below else "no clear change"


def latest_table(history: list[dict[str, Any]]) -> Table | None:
    """Return the latest value of every series."""
    frame = frame_of(history).drop_duplicates(SERIES, keep="last").sort_values(SERIES)
    columns: list[Column] = [("benchmark", "benchmark", None), ("parameters", "params", None)]
    columns += [
        ("machine", "machine" if frame["machine"].nunique() > 1 else _nothing, whole),
        ("commit", "commit", None),
        ("value", lambda row: Entry(_value(row["value"], row["unit"]), row["value"]), number),
        ("99% interval", _interval, number),
    ]
    caption = "The newest value of each benchmark and combination of its parameters, lower is better."
    return table("benchmarks", "All benchmarks of asv", caption, frame, columns)


def _nothing(row: frames.Row) -> None:
    """Stand for a column that says the same in every row, so that it is left out."""


def _interval(row: frames.Row) -> Entry | None:
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return None
    return Entry(f"{_value(row['low'], row['unit'])} – {_value(row['high'], row['unit'])}", row["low"])


def _value(value: float, unit: str) -> str:
    if unit == "seconds":
        return seconds(value)
    if unit == "bytes":
        return size(value)
    # "1 - score" and the like are formulas, not units that stand behind a number.
    return f"{number(value)} {unit}".strip() if unit.replace(" ", "").isalpha() else number(value)
