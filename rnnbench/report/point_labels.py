"""Where the names beside points stand, so that none covers another or a point."""

from collections.abc import Sequence
from dataclasses import dataclass

LETTER, LINE = 7.0, 15.0
"""Pixels that a letter takes on average, and a line."""
_RADIUS, _GAP = 8.0, 10.0
# Beside a point: to the right, to the left, above, below; where the text is anchored, and its offset.
_PLACES = (
    ("left", _GAP + 2, 0.0),
    ("right", -_GAP - 2, 0.0),
    ("center", 0.0, -LINE - 3),
    ("center", 0.0, LINE + 3),
    ("left", _GAP, -LINE),
    ("left", _GAP, LINE),
    ("right", -_GAP, -LINE),
    ("right", -_GAP, LINE),
)


@dataclass(frozen=True)
class Label:
    """A name beside a point: ``align`` of the text, and its offset from the point in pixels, down being positive."""

    text: str
    align: str
    dx: float
    dy: float


def place_labels(
    points: Sequence[tuple[float, float]], names: Sequence[str], width: float, height: float
) -> list[Label]:
    """Return a label for each point, those that come first being placed first; "" where there is no room for a name.

    ``points``: in pixels from the left and from the top of a chart of ``width`` by ``height``.
    """
    taken = [(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in points]
    placed = []
    for (x, y), name in zip(points, names, strict=True):
        label = Label("", "left", 0.0, 0.0)
        for align, dx, dy in _PLACES if name else ():
            wide = LETTER * len(name)
            left = x + dx - {"left": 0.0, "center": wide / 2, "right": wide}[align]
            box = (left, y + dy - LINE / 2, left + wide, y + dy + LINE / 2)
            inside = box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                label = Label(name, align, dx, dy)
                break
        placed.append(label)
    return placed


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
