"""Bistable recurrent cell: all connections from a unit to itself.

Vecoven, Ernst and Drion 2021, doi:10.1371/journal.pone.0252676, with the biases of the authors' code.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    feedback = 1.0 + np.tanh(x @ p["W.a"] + h * p["p.a"] + p["b.a"])
    kept = sigmoid(x @ p["W.c"] + h * p["p.c"] + p["b.c"])
    candidate = np.tanh(x @ p["W.n"] + feedback * h)
    return (candidate + kept * (h - candidate),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
