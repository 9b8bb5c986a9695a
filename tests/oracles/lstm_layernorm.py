"""LSTM with layer normalization over the 4H stacked pre-activations of each side, and over the cell.

Ba, Kiros and Hinton 2016, arXiv:1607.06450, equations 20 to 22. Of the shifts of equation 20 only b is kept, since
they add up.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

EPSILON = 1e-3
GATES = "ifog"


def normalize(a: np.ndarray) -> np.ndarray:
    """Return rows of mean zero and variance one."""
    centred = a - a.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def stacked(kind: str) -> np.ndarray:
        return np.concatenate([p[f"{kind}{gate}"] for gate in GATES], axis=-1)

    recurrent = stacked("p.h_") * normalize(h @ stacked("R."))
    projected = stacked("p.x_") * normalize(x @ stacked("W."))
    i, f, o, g = np.split(recurrent + projected + stacked("b."), 4, axis=1)
    new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(p["p.c"] * normalize(new) + p["b.c"]), new


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
