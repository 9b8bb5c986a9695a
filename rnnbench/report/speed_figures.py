"""The figures of ``rnnbench speed``: our kernels against the fastest other library, row by row."""

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report import frames
from rnnbench.report.figure import Figure
from rnnbench.report.figures import RATIO_ROWS, ratios_by_shape
from rnnbench.report.palette import Palette
from rnnbench.report.quantities import seconds, times
from rnnbench.report.speed import speed_rows
from rnnbench.report.speed_tables import WORDS


def against_best_peer(records: Iterable[Mapping[str, Any]], palette: Palette) -> list[Figure]:
    """Return the time of the fastest other library over ours for each cell and shape, one figure for each mode."""
    rows = []
    for row in speed_rows(records):
        if row.ratio is None or row.best_peer is None:
            continue
        told = {"told": times(*row.ratio), "ours": seconds(row.median), "theirs": seconds(row.peers[row.best_peer])}
        place = {"cell": row.cell, "mode": row.mode, "shape": row.shape, "peer": row.best_peer}
        rows.append({**place, **row.ratio._asdict(), **told})
    held: frames.Frame = pd.DataFrame(rows)
    return [_figure(str(mode), data, palette) for mode, data in (held.groupby("mode", sort=False) if rows else [])]


def _figure(mode: str, data: frames.Frame, palette: Palette) -> Figure:
    shapes = data["shape"].drop_duplicates().tolist()
    tips = {"cell": "cell", "shape": "T×B×I×H", "peer": "best peer", "told": "ratio (95% interval)"}
    tips |= {"ours": "ours", "theirs": "best peer's time"}
    shown = [alt.Tooltip(f"{field}:N", title=name) for field, name in tips.items()]
    chart = ratios_by_shape(data, shapes, palette, "time of the best peer / ours", shown)
    caption = (
        "Right of the dashed line we are faster than every other library, left of it one of them is faster. Median of "
        "the paired ratios with its 95% interval. Rows: T × B × I × H."
    )
    word = WORDS[mode]
    return Figure(f"best_peer_{word}", f"Against the best peer, {word}", caption, chart, RATIO_ROWS)
