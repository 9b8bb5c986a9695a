"""Structurally constrained recurrent network, as many context units as hidden ones, alpha = 0.95.

Mikolov, Joulin, Chopra, Mathieu and Ranzato 2015, arXiv:1412.7753 (their A, B, P, R are W.h, W.s, R.s, R.h here). The
context has a closed form, a weighted sum of all inputs so far, and is computed by it.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays

ALPHA = 0.95


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    A, B, P, R = (params[name] for name in ("W.h", "W.s", "R.s", "R.h"))
    h, y = state["h"], []
    s = state["s"]
    for t in range(len(x)):
        weights = (1.0 - ALPHA) * ALPHA ** np.arange(t, -1, -1)
        s = ALPHA ** (t + 1) * state["s"] + np.einsum("t,tbi->bi", weights, x[: t + 1]) @ B
        h = sigmoid(np.concatenate([s, x[t], h], axis=1) @ np.concatenate([P, A, R]))
        y.append(h)
    return np.stack(y), {"h": h, "s": s}
