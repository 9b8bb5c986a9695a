"""Intersection RNN (+RNN), depth part with rectified linear units, recurrent part with tanh.

Collins, Sohl-Dickstein and Sussillo 2017, arXiv:1611.09913. The paper's x_t in the output has as many inputs as
units; here it is projected by W.skip first. The output y is no part of the recurrence.
"""

import numpy as np

from .activations import relu, sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, y: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = ("y", "h", "gy", "gh")
    W = np.block([[p[f"W.{name}"] for name in names], [p[f"R.{name}"] for name in names]])
    b = np.concatenate([p[f"b.{name}"] for name in names])
    y_in, h_in, y_gate, h_gate = np.split(np.concatenate([x, h], axis=1) @ W + b, 4, axis=1)
    through_depth = sigmoid(y_gate) * (x @ p["W.skip"]) + sigmoid(-y_gate) * relu(y_in)
    through_time = sigmoid(h_gate) * h + sigmoid(-h_gate) * np.tanh(h_in)
    return through_depth, through_time


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("y", "h"), params, x, state)
