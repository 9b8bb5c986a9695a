"""Minimal LSTM: gates and candidate see the input alone.

Feng et al. 2024, arXiv:2410.01201, section 3.2, the gates divided as the section writes it; the candidate goes
through the appendix's positive g. Written as a sum of inputs, each weighted by all the forget gates after it: the
recurrence's closed form, so that a fault of a time loop cannot be in both.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    forget, insert = (sigmoid(x @ params[f"W.{gate}"] + params[f"b.{gate}"]) for gate in "fi")
    candidate = x @ params["W.n"] + params["b.n"]
    positive = np.where(np.real(candidate) >= 0.0, candidate + 0.5, sigmoid(candidate))
    kept = forget / (forget + insert)
    written = insert / (forget + insert) * positive
    y = []
    for t in range(len(x)):
        h = state["h"] * np.prod(kept[: t + 1], axis=0)
        for s in range(t + 1):
            h = h + written[s] * np.prod(kept[s + 1 : t + 1], axis=0)
        y.append(h)
    return np.stack(y), {"h": y[-1]}
