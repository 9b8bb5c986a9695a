"""Chaos-free network.

Laurent and von Brecht 2016, arXiv:1612.06212 (their gates theta and eta are f and i here).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    U = np.concatenate([p["R.f"], p["R.i"]], axis=1)
    V = np.concatenate([p["W.f"], p["W.i"]], axis=1)
    theta, eta = np.split(sigmoid(h @ U + x @ V + np.concatenate([p["b.f"], p["b.i"]])), 2, axis=1)
    return (theta * np.tanh(h) + eta * np.tanh(x @ p["W.n"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
