"""MUT2 of Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.

The paper adds x_t itself to the reset gate, with as many inputs as units; here x_t is projected by W.r first.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    z = sigmoid(np.concatenate([x, h], axis=1) @ np.concatenate([p["W.z"], p["R.z"]]) + p["b.z"])
    as_wide_as_h = x @ p["W.r"]
    r = sigmoid(as_wide_as_h + h @ p["R.r"] + p["b.r"])
    return (np.tanh((h * r) @ p["R.n"] + x @ p["W.n"] + p["b.n"]) * z + h * (1.0 - z),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
