"""Minimal GRU: gate and candidate see the input alone.

Feng et al. 2024, arXiv:2410.01201, section 3.1; the candidate goes through the appendix's g, which keeps it positive:
g(a) = a + 0.5 for a >= 0, else sigmoid(a). Written as a sum of inputs, each weighted by all the gates after it: the
recurrence's closed form, so that a fault of a time loop cannot be in both.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    z = sigmoid(x @ params["W.z"] + params["b.z"])
    a = x @ params["W.n"] + params["b.n"]
    written = z * np.where(np.real(a) >= 0.0, a + 0.5, sigmoid(a))
    y = []
    for t in range(len(x)):
        h = state["h"] * np.prod(1.0 - z[: t + 1], axis=0)
        for s in range(t + 1):
            h = h + written[s] * np.prod(1.0 - z[s + 1 : t + 1], axis=0)
        y.append(h)
    return np.stack(y), {"h": y[-1]}
