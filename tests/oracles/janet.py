"""JANET, the LSTM with the forget gate only.

Van der Westhuizen and Lasenby 2018, arXiv:1804.04849, with their beta of 1. Written with
1 - sigmoid(a) = sigmoid(-a).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

BETA = 1.0


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    both = np.concatenate([x, h], axis=1)
    s = both @ np.concatenate([p["W.f"], p["R.f"]]) + p["b.f"]
    candidate = np.tanh(both @ np.concatenate([p["W.c"], p["R.c"]]) + p["b.c"])
    return (h * sigmoid(s) + candidate * sigmoid(BETA - s),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
