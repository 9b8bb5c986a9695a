"""Neuromodulated bistable recurrent cell: gates that see all units, feedback of a unit to itself.

Vecoven, Ernst and Drion 2021, doi:10.1371/journal.pone.0252676, with the biases of the authors' code.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    stacked = np.concatenate([x, h], axis=1)
    feedback = 1.0 + np.tanh(stacked @ np.concatenate([p["W.a"], p["R.a"]]) + p["b.a"])
    kept = sigmoid(stacked @ np.concatenate([p["W.c"], p["R.c"]]) + p["b.c"])
    candidate = np.tanh(x @ p["W.n"] + feedback * h)
    return (candidate + kept * (h - candidate),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
