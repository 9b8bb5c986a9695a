"""Colours and shapes: one of each for every cell, the same in all figures of a report, on a light and a dark page.

The eight colours of each set stand apart for full, protan, deutan and tritan vision and against their background
(3:1 at least); the seven shapes take turns beside them, so that the first 56 cells are told apart twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

LIGHT = ("#3d5dc0", "#da720d", "#004939", "#9a4273", "#2391aa", "#5d0f73", "#a9736a", "#5c5c01")
DARK = ("#6f8cf0", "#e99007", "#31c29e", "#d985b4", "#5cf9f6", "#bf8bf7", "#be4b13", "#fade4e")
LIGHT_PAGE, DARK_PAGE = "#ffffff", "#15181d"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4])
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# The page sets it to what the reader's system asks for.
DARK_MODE = alt.param(name="dark", value=False)


@dataclass(frozen=True)
class Palette:
    """The colour, shape and dash of each cell in ``names``, by its place there; ``shown`` are those in a legend."""

    names: Sequence[str]

    def colour(self, shown: Iterable[str] | None = None) -> alt.Color:
        """Return the encoding of the field ``cell`` as colour; without a legend if ``shown`` is None."""
        both = [f"dark ? '{DARK[i % len(DARK)]}' : '{LIGHT[i % len(LIGHT)]}'" for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=[alt.ExprRef(one) for one in both])
        return alt.Color("cell:N", title="cell", scale=scale, legend=_legend(shown))

    def shape(self, shown: Iterable[str]) -> alt.Shape:
        """Return the encoding of the field ``cell`` as point shape; its legend merges with that of the colour."""
        shapes = [SHAPES[i % len(SHAPES)] for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=shapes)
        return alt.Shape("cell:N", title="cell", scale=scale, legend=_legend(shown))

    def dash(self, shown: Iterable[str]) -> alt.StrokeDash:
        """Return the encoding of the field ``cell`` as dash, for lines without points: new once the colours repeat."""
        dashes = [DASHES[i // len(LIGHT) % len(DASHES)] for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=dashes)
        return alt.StrokeDash("cell:N", title="cell", scale=scale, legend=_legend(shown))


def _legend(shown: Iterable[str] | None) -> alt.Legend | None:
    return None if shown is None else alt.Legend(values=sorted(set(shown)), symbolOpacity=1)


def theme(dark: bool) -> dict[str, Any]:
    """Return the Vega-Lite configuration of a page: readable text, quiet grid, transparent ground when dark."""
    text, quiet, grid = ("#e6e8eb", "#a9b0ba", "#343a43") if dark else ("#1c2024", "#545c66", "#e1e4e8")
    return {
        "background": "transparent" if dark else LIGHT_PAGE,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": quiet,
            "titleColor": text,
            "titleFontWeight": 500,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": grid,
            "domainColor": quiet,
            "tickColor": quiet,
            "labelLimit": 170,
        },
        "legend": {
            "orient": "bottom",
            "labelColor": text,
            "titleColor": quiet,
            "titleFontWeight": 500,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "symbolSize": 90,
            "labelLimit": 200,
            "columns": 4,
            # One under the other: side by side, the second is cut off where the first is wide.
            "layout": {"bottom": {"anchor": "start", "direction": "vertical", "margin": 8}},
        },
        "title": {"color": text, "fontSize": 14, "fontWeight": 600, "anchor": "start", "offset": 12},
        "line": {"strokeWidth": 2},
        "point": {"size": 55, "filled": True},
        "rule": {"color": quiet},
        "tick": {"color": text, "thickness": 3},
        "text": {"color": quiet, "fontSize": 11},
    }
