"""The roofline figure: FLOP/s against FLOP per byte, the machine's roofs, and a point for each cell and shape."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from rnnbench.cells import cell_of_record
from rnnbench.errors import RnnbenchError
from rnnbench.measure.roofline import Ceilings, Roofline, roofline
from rnnbench.report import frames
from rnnbench.report.figure import FADED, Chart, Figure, file_stem, log_axis
from rnnbench.report.palette import Palette
from rnnbench.report.quantities import listed, number, percent, seconds

HEIGHT = 420
# The names of the roofs stand in a column of their own, left of where the roofs begin: this part of the width.
_COLUMN = 0.24
_LABEL_PIXELS = 15


def rooflines(records: Iterable[Mapping[str, Any]], palette: Palette) -> list[Figure]:
    """Return one figure for each mode that was timed with the threads and dtype of a record of kind "limits".

    Shown are rnnbench's own engines. A point's bytes are those of the level whose traffic takes longest at its shape
    (``rnnbench.measure.roofline``), so its roof is that level's or the flat one, whichever is lower.
    """
    records = list(records)
    newest: dict[tuple[str, int], Mapping[str, Any]] = {}
    for record in sorted((r for r in records if r["kind"] == "limits"), key=lambda r: str(r.get("created", ""))):
        newest[record["dtype"], record["threads"]] = record
    timed = frames.ours(frames.times(records)).dropna(subset=frames.SIZES)
    found = []
    for (dtype, threads), limits in newest.items():
        for mode in ("training", "forward"):
            rows = timed[(timed["mode"] == mode) & (timed["dtype"] == dtype) & (timed["threads"] == threads)]
            drawn = _figure(frames.rows_of(rows), limits, mode, palette)
            found += [] if drawn is None else [drawn]
    return found


def _figure(rows: list[dict[str, Any]], limits: Mapping[str, Any], mode: str, palette: Palette) -> Figure | None:
    ceilings = Ceilings.of(limits)
    points, unknown = [], []
    for row in rows:
        try:
            program = cell_of_record(row["cell"]).program
        except RnnbenchError:  # a cell whose equations are not here
            unknown.append(row["cell"])
            continue
        T, B, I, H = (int(row[letter]) for letter in frames.SIZES)  # noqa: E741 - the legend's letters
        held = roofline(program, (T, B, I, H), mode, ceilings)
        if held.flops:  # a cell without any product has no place on a logarithmic axis
            points.append(_point(row, held))
    if not points:
        return None
    data: frames.Frame = pd.DataFrame(points)
    gemm = next(row["median"] for row in limits["limits"] if row["quantity"] == "gemm")
    what = "Forward and backward" if mode == "training" else "Forward"
    caption = (
        f"{what}, {ceilings.dtype}, {ceilings.threads} {'thread' if ceilings.threads == 1 else 'threads'}; a point for "
        "each cell and shape. Across: operations of the products for each byte that must come from the level of memory "
        "whose traffic takes longest there. Sloping lines: what each level delivers; level lines: multiply-adds in "
        "registers (FMA) and NumPy's matrix product (GEMM). All are medians of moments of their own: on a machine "
        "that others use as well, a point may lie above its roof."
    )
    if unknown:
        caption += f" Not shown, their equations are not here: {listed(sorted(set(unknown)))}."
    name = f"roofline_{mode}" if ceilings.dtype == "float32" else f"roofline_{mode}_{ceilings.dtype}"
    name = name if ceilings.threads == 1 else f"{name}_{ceilings.threads}_threads"
    chart = _chart(data, ceilings, gemm, palette)
    return Figure(file_stem(name), f"Roofline, {mode}", caption, chart, HEIGHT)


def _point(row: Mapping[str, Any], held: Roofline) -> dict[str, Any]:
    return {
        "cell": row["cell"],
        "contender": row["contender"],
        "shape": frames.shape_text(row),
        "intensity": held.intensity,
        "rate": held.flops / row["median"] / 1e9,
        "bound": held.bound,
        "time": seconds(row["median"]),
        "attainable": seconds(held.attainable_seconds),
        "reached": percent(held.fraction(row["median"])),
        "told": f"{number(held.flops / row['median'] / 1e9)} GFLOP/s",
    }


def _chart(data: frames.Frame, ceilings: Ceilings, gemm: float, palette: Palette) -> Chart:
    peak = ceilings.peak / 1e9
    slopes = {level: bandwidth / 1e9 for level, bandwidth in ceilings.bandwidth.items()}
    ridges = [peak / slope for slope in slopes.values()]
    low = min(data["intensity"].min(), *ridges) / 1.5
    high = max(data["intensity"].max(), *ridges) * 1.5
    left = low / (high / low) ** (_COLUMN / (1 - _COLUMN))

    roofs = [
        {"x": low, "y": slope * low, "x2": peak / slope, "y2": peak, "kind": level} for level, slope in slopes.items()
    ]
    roofs.append({"x": min(ridges), "y": peak, "x2": high, "y2": peak, "kind": "FMA"})
    measured = pd.DataFrame(roofs)
    # What leads from a name to its roof, and the product's rate, which is no roof: a product is an example.
    hints = pd.DataFrame(
        [{"x": low, "y": peak, "x2": min(ridges)}, {"x": low, "y": gemm / 1e9, "x2": high}],
    )
    names = {f"{level} {number(slope)} GB/s": slope * low for level, slope in slopes.items()}
    names |= {f"FMA {number(peak)} GFLOP/s": peak, f"GEMM {number(gemm / 1e9)} GFLOP/s": gemm / 1e9}

    heights = pd.Series([*data["rate"], *names.values()])
    y_axis = log_axis(heights, ticks=False)
    labels = _spread(names, y_axis["scale"].domain)
    x = alt.X("intensity:Q", title="FLOP per byte", **log_axis(pd.Series([left, high]), ticks=False))
    y = alt.Y("rate:Q", title="GFLOP/s", **y_axis)

    pick = alt.selection_point(name="pick", fields=["cell"], bind="legend")
    lines = (
        alt.Chart(measured)
        .mark_rule(strokeWidth=1.5)
        .encode(x=alt.X("x:Q", title="FLOP per byte"), y=alt.Y("y:Q", title="GFLOP/s"), x2="x2:Q", y2="y2:Q")
    )
    dashed = (
        alt.Chart(hints)
        .mark_rule(strokeWidth=1, strokeDash=[4, 4])
        .encode(x=alt.X("x:Q", title="FLOP per byte"), y=alt.Y("y:Q", title="GFLOP/s"), x2="x2:Q")
    )
    texts = alt.Chart(pd.DataFrame([{"x": low, "y": place, "name": name} for name, place in labels.items()]))
    texts = texts.mark_text(align="right", dx=-6).encode(x="x:Q", y="y:Q", text="name:N")
    tips = [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in {
            "cell": "cell",
            "contender": "contender",
            "shape": "shape",
            "time": "time",
            "told": "rate",
            "bound": "bound",
            "attainable": "attainable",
            "reached": "of the attainable rate",
        }.items()
    ]
    dots = (
        alt.Chart(data)
        .mark_point(opacity=0.85)
        .encode(
            x=x,
            y=y,
            color=palette.colour(data["cell"]),
            shape=palette.shape(data["cell"]),
            opacity=alt.when(pick).then(alt.value(0.85)).otherwise(alt.value(FADED)),
            tooltip=tips,
        )
    )
    return alt.layer(lines, dashed, texts, dots.add_params(pick))


def _spread(names: Mapping[str, float], domain: Any) -> dict[str, float]:
    """Return where on a logarithmic axis each name is written: at its value, or as far above as the one below needs."""
    low, high = (math.log(end) for end in domain)
    gap = (high - low) * _LABEL_PIXELS / HEIGHT
    placed: dict[str, float] = {}
    before = -math.inf
    for name, value in sorted(names.items(), key=lambda item: item[1]):
        before = max(math.log(value), before + gap)
        placed[name] = math.exp(before)
    return placed
