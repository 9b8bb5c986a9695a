"""Peephole LSTM without an output gate: o = 1.

Greff et al. 2015, arXiv:1503.04069, section II with variant NOG (their block input z is g here, their output y is h).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, y: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bar = {unit: x @ p[f"W.{unit}"] + y @ p[f"R.{unit}"] + p[f"b.{unit}"] for unit in "gif"}
    cell = np.tanh(bar["g"]) * sigmoid(bar["i"] + p["p.i"] * c) + sigmoid(bar["f"] + p["p.f"] * c) * c
    return np.tanh(cell), cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
