"""Colours of the report: readable on both pages, told apart with every kind of colour vision, and named."""

import itertools
import json
import re

import numpy as np
import pytest
from report_records import MACHINE, small_run

from rnnbench.report import page, palette, source

# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1, severity 1.0; on linear RGB.
VISIONS = {
    "full": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Ottosson 2020, "A perceptual color space for image processing".
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour):
    """Return linear RGB, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return np.array([part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts])


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out_on_both_pages(dark):
    held = palette.colours(dark)
    for ground in ("card", "stripe"):
        cells = [contrast(colour, held[ground]) for name, colour in held.items() if name.startswith("cell-")]
        assert min(cells) >= 3  # WCAG 2.2, 1.4.11
        assert len(cells) == 8
    for ground in ("page", "card", "stripe"):
        assert min(contrast(held[text], held[ground]) for text in ("text", "quiet", "accent")) >= 4.5  # WCAG 2.2, 1.4.3
        assert contrast(held["edge"], held[ground]) >= 3  # WCAG 2.2, 1.4.11: what can be used has an outline
    assert contrast(held["on-accent"], held["accent"]) >= 4.5


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_colours_of_cells_stand_apart_with_every_colour_vision(colours, vision):
    seen = [np.clip(VISIONS[vision] @ linear(colour), 0, 1) for colour in colours]
    places = [TO_OKLAB @ np.cbrt(TO_CONES @ colour) for colour in seen]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(places, 2)) >= 0.09


def test_every_colour_of_a_figure_has_a_name_that_the_page_knows():
    """A literal would be the same on a light and on a dark page; an unknown name would be black."""
    held = palette.colours(dark=False)
    assert held.keys() == palette.colours(dark=True).keys()
    drawn = page.build(source.Source(small_run(), MACHINE, "x", "2026-01-01", "0")).figures
    for text in [*(json.dumps(figure.spec) for figure in drawn), json.dumps(palette.theme())]:
        assert set(re.findall(r"var\(--([^)]*)\)", text)) <= held.keys()
        assert not re.findall(r'"#[0-9a-fA-F]{3,8}"', text)
        assert "var(" not in palette.solid(text)
