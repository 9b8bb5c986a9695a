"""What a figure of the report is, and what all of them share: size, axes, tooltips, names."""

import functools
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import altair as alt

Chart = alt.Chart | alt.LayerChart | alt.FacetChart

FADED = 0.1
# All curves of one figure together: what a browser draws at once, and the page's size stays in bounds.
CURVE_POINTS = 6000


@dataclass(frozen=True)
class Rows:
    """The height of a chart that has a row for each value of ``fields`` in its data, or each combination of several.

    ``pixels``: of one row. The page forms it again when a filter leaves fewer rows.
    """

    pixels: int
    fields: tuple[str, ...]

    def height(self, data: Iterable[Mapping[str, Any]]) -> int:
        """Return the height for these rows of data."""
        data = list(data)
        return self.pixels * math.prod(len({row[name] for row in data if name in row}) for name in self.fields)


@dataclass(frozen=True)
class Figure:
    """A chart with its file name, title and a caption that says what it shows and how it is read.

    ``height``: of the chart without axes and legend, in pixels, or by its rows.
    ``about``: what the whole figure is about where its data do not say so row by row: {"task": "adding"},
    {"engine": "torch"}. ``told``: what a screen reader says in the picture's place; by default title and caption.
    """

    name: str
    title: str
    caption: str
    chart: Chart
    height: int | Rows
    about: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    @functools.cached_property
    def spec(self) -> dict[str, Any]:
        """The chart's Vega-Lite specification, its colours and fonts left to the theme of what shows it."""
        # Not validated again: the tests validate every kind of figure, and it takes seconds.
        with alt.data_transformers.enable("default", max_rows=None):  # altair refuses 5000 rows and more
            spec = self.chart.to_dict(validate=False)
        rows = (row for data in spec.get("datasets", {}).values() for row in data)
        height = self.height.height(rows) if isinstance(self.height, Rows) else self.height
        # The chart is as wide as what holds it; a legend below it takes nothing of its height.
        size = {"width": "container", "height": height, "autosize": {"type": "fit-x", "contains": "padding"}}
        return {**spec, **size, "description": self.described, "config": {}}

    @property
    def described(self) -> str:
        """The text that stands for the picture."""
        return self.told or f"{self.title}. {self.caption}"

    def headings(self) -> dict[str, str]:
        """Return the heading of each field of the data in a CSV file: its name, and its title where that says more."""
        found: dict[str, str] = {}
        _collect_titles(self.spec, found)
        return {name: f"{name} ({title})" if title not in ("", name) else name for name, title in found.items()}


def _collect_titles(part: Any, found: dict[str, str]) -> None:
    if isinstance(part, list):
        for one in part:
            _collect_titles(one, found)
    elif isinstance(part, dict):
        name, title = part.get("field"), part.get("title")
        if isinstance(name, str) and (isinstance(title, str) or name not in found):
            found[name] = title or ""
        for key, one in part.items():
            if key != "datasets":
                _collect_titles(one, found)


def tooltips(*fields: str, **titled: str) -> list[alt.Tooltip]:
    """Return tooltips for fields under their own names, and for others under the given titles."""
    named = {**{field: field for field in fields}, **titled}
    formats = {"loss": ".4~g", "score": ".3~f"}
    numeric = {"loss", "score", "step", "seed", "length"}
    return [
        alt.Tooltip(f"{field}:{'Q' if field in numeric else 'N'}", title=title, format=formats.get(field, ""))
        for field, title in named.items()
    ]


def log_axis(values: Any, ticks: bool = True) -> dict[str, Any]:
    """Return a logarithmic axis just around ``values``; with ``ticks`` (sizes, lengths) each of them is marked."""
    low, high = float(values.min()), float(values.max())
    room = (high / low) ** 0.06 if high > low else 1.3
    low, high = low / room, high * room
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    if ticks and values.nunique() <= 8:
        return {"scale": scale, "axis": alt.Axis(values=sorted(values.unique().tolist()), format="d")}
    # Vega's own logarithmic ticks leave an axis of less than a decade with a number or two.
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        marks = [m * 10.0**e for e in range(-12, 13) for m in mantissas if low <= m * 10.0**e <= high]
        if len(marks) >= 4:
            return {"scale": scale, "axis": alt.Axis(values=marks, format="~g")}
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    marks = [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return {"scale": scale, "axis": alt.Axis(values=marks, format="~g")}


def file_stem(text: str) -> str:
    """Return ``text`` as a file name of letters, digits and underscores; different texts give different names."""
    stem = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)[:80]
    return stem if stem == text else f"{stem}_{zlib.crc32(text.encode()):08x}"
