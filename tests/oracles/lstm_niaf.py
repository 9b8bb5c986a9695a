"""Peephole LSTM without an input activation function: g(x) = x.

Greff et al. 2015, arXiv:1503.04069, section II with variant NIAF (their block input z is g here, their output y is h).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, y: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bar = {unit: x @ p[f"W.{unit}"] + y @ p[f"R.{unit}"] + p[f"b.{unit}"] for unit in "gifo"}
    cell = bar["g"] * sigmoid(bar["i"] + p["p.i"] * c) + sigmoid(bar["f"] + p["p.f"] * c) * c
    return np.tanh(cell) * sigmoid(bar["o"] + p["p.o"] * cell), cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
