"""Stackable recurrent unit (STAR).

Turkoglu, D'Aronco, Wegner and Schindler 2019, arXiv:1911.11033.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    z, k = np.split(x @ np.concatenate([p["W.z"], p["W.k"]], axis=1), 2, axis=1)
    z = np.tanh(z + p["b.z"])
    k = sigmoid(k + h @ p["R.k"] + p["b.k"])
    return (np.tanh(h + k * (z - h)),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
