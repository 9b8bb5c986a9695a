"""Recurrent highway network of recurrence depth 2, carry gate 1 - t.

Zilly, Srivastava, Koutnik and Schmidhuber 2017, arXiv:1607.03474 (their s is the
state h here, their h the candidate n).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

DEPTH = 2


def step(p: Arrays, x: np.ndarray, s: np.ndarray) -> tuple[np.ndarray]:
    for layer in range(1, DEPTH + 1):
        seen = s @ np.concatenate([p[f"R.n{layer}"], p[f"R.t{layer}"]], axis=1)
        if layer == 1:
            seen = seen + x @ np.concatenate([p["W.n1"], p["W.t1"]], axis=1)
        h, t = np.split(seen + np.concatenate([p[f"b.n{layer}"], p[f"b.t{layer}"]]), 2, axis=1)
        t = sigmoid(t)
        s = s + t * (np.tanh(h) - s)
    return (s,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
