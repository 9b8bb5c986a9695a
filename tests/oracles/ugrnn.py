"""Update gate RNN (UGRNN), candidate with tanh.

Collins, Sohl-Dickstein and Sussillo 2017, arXiv:1611.09913.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    W = np.block([[p["W.c"], p["W.g"]], [p["R.c"], p["R.g"]]])
    c, g = np.split(np.concatenate([x, h], axis=1) @ W + np.concatenate([p["b.c"], p["b.g"]]), 2, axis=1)
    c, g = np.tanh(c), sigmoid(g)
    return (c + g * (h - c),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
