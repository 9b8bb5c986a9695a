"""Gated recurrent unit, reset gate on the state before the recurrent product.

Cho et al. 2014, arXiv:1406.1078v3, equations 5 to 8.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    reset = sigmoid(x @ p["W.r"] + h @ p["R.r"] + p["b.r"])
    update = sigmoid(x @ p["W.z"] + h @ p["R.z"] + p["b.z"])
    candidate = np.tanh(x @ p["W.n"] + (reset * h) @ p["R.n"] + p["b.n"])
    return (update * h + (1.0 - update) * candidate,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
