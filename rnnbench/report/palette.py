"""Colours and shapes: one of each for every cell, the same in all figures of a report, on a light and a dark page.

The eight colours of each set stand apart for full, protan, deutan and tritan vision (at least 0.09 in OKLab, where 0.02
is just seen) and against their background (3:1 at least); the seven shapes take turns beside them, so that the first 56
cells are told apart twice.

Charts name colours as CSS variables, ``var(--cell-0)``: a page that changes from light to dark draws nothing again, and
paper is always light. A picture outside of the page has them replaced by ``solid``.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

LIGHT = ("#3d5dc0", "#da720d", "#004939", "#9a4273", "#2391aa", "#5d0f73", "#a9736a", "#5c5c01")
DARK = ("#8760f9", "#eda412", "#45d1aa", "#b75f97", "#a1fff4", "#b796fe", "#f41f18", "#f0ee64")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4])
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Of the page, and of the cards on it that hold figures and tables. "line" parts, "edge" is around what can be used.
_LIGHT_PAGE = {
    "page": "#f5f6f8",
    "card": "#ffffff",
    "stripe": "#f6f7f9",
    "text": "#1c2024",
    "quiet": "#545c66",
    "line": "#dde1e6",
    "edge": "#7d8590",
    "accent": "#3049a6",
    "on-accent": "#ffffff",
}
_DARK_PAGE = {
    "page": "#0e1013",
    "card": "#15181d",
    "stripe": "#1a1e24",
    "text": "#e6e8eb",
    "quiet": "#a9b0ba",
    "line": "#2c323a",
    "edge": "#767f8b",
    "accent": "#9db2ff",
    "on-accent": "#0e1013",
}
QUIET = "var(--quiet)"
TEXT = "var(--text)"
ACCENT = "var(--accent)"


def colours(dark: bool) -> dict[str, str]:
    """Return every colour of the page by the name of its CSS variable, without the dashes before it."""
    cells, page = (DARK, _DARK_PAGE) if dark else (LIGHT, _LIGHT_PAGE)
    return page | {f"cell-{place}": colour for place, colour in enumerate(cells)}


def solid(text: str, dark: bool = False) -> str:
    """Return ``text``, a specification as JSON, with the colours themselves in the place of CSS variables."""
    held = colours(dark)
    return re.sub(r"var\(--([a-z0-9-]+)\)", lambda found: held.get(found[1], found[0]), text)


def cell_colour(place: int) -> str:
    """Return the colour of the cell, or of whatever else is told apart, at this place in an order."""
    return f"var(--cell-{place % len(LIGHT)})"


@dataclass(frozen=True)
class Palette:
    """The colour, shape and dash of each cell in ``names``, by its place there; ``shown`` are those in a legend."""

    names: Sequence[str]

    def colour(self, shown: Iterable[str] | None = None) -> alt.Color:
        """Return the encoding of the field ``cell`` as colour; without a legend if ``shown`` is None."""
        return alt.Color("cell:N", title="cell", scale=self.scale, legend=_legend(shown))

    @property
    def scale(self) -> alt.Scale:
        """The colour of each cell."""
        return alt.Scale(domain=list(self.names), range=[cell_colour(i) for i in range(len(self.names))])

    def shape(self, shown: Iterable[str] | None = None) -> alt.Shape:
        """Return the encoding of the field ``cell`` as point shape; its legend merges with that of the colour."""
        shapes = [SHAPES[i % len(SHAPES)] for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=shapes)
        return alt.Shape("cell:N", title="cell", scale=scale, legend=_legend(shown))

    def dash(self, shown: Iterable[str] | None = None) -> alt.StrokeDash:
        """Return the encoding of the field ``cell`` as dash, for lines without points: new once the colours repeat."""
        dashes = [DASHES[i // len(LIGHT) % len(DASHES)] for i in range(len(self.names))]
        scale = alt.Scale(domain=list(self.names), range=dashes)
        return alt.StrokeDash("cell:N", title="cell", scale=scale, legend=_legend(shown))


def _legend(shown: Iterable[str] | None) -> alt.Legend | None:
    return None if shown is None else alt.Legend(values=sorted(set(shown)), symbolOpacity=1)


def theme() -> dict[str, Any]:
    """Return the Vega-Lite configuration of every figure: readable text, quiet grid, the ground of what holds it."""
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": QUIET,
            "titleColor": TEXT,
            "titleFontWeight": 500,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": "var(--line)",
            "domainColor": QUIET,
            "tickColor": QUIET,
            "labelLimit": 170,
        },
        "legend": {
            "orient": "bottom",
            "labelColor": TEXT,
            "titleColor": QUIET,
            "titleFontWeight": 500,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "symbolSize": 90,
            "labelLimit": 200,
            "columns": 4,
            # However many cells there are: what is not in the legend can be neither told nor picked.
            "symbolLimit": 200,
            # One under the other: side by side, the second is cut off where the first is wide.
            "layout": {"bottom": {"anchor": "start", "direction": "vertical", "margin": 8}},
        },
        "header": {"labelColor": TEXT, "titleColor": QUIET, "labelFontSize": 12},
        "title": {"color": TEXT, "fontSize": 14, "fontWeight": 600, "anchor": "start", "offset": 12},
        "line": {"strokeWidth": 2},
        "point": {"size": 55, "filled": True},
        "rule": {"color": QUIET},
        "tick": {"color": TEXT, "thickness": 3},
        "text": {"color": QUIET, "fontSize": 11},
    }
