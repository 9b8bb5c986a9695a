"""MUT1 of Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.

The paper's tanh(x_t) has as many inputs as units; here x_t is projected by W.skip first.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    z = sigmoid(x @ p["W.z"] + p["b.z"])
    r = sigmoid(np.concatenate([x, h], axis=1) @ np.concatenate([p["W.r"], p["R.r"]]) + p["b.r"])
    squashed_input = np.tanh(x @ p["W.skip"])
    return (np.tanh((h * r) @ p["R.n"] + squashed_input + p["b.n"]) * z + h * (1.0 - z),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
