"""Peephole LSTM with full gate recurrence: gates see the gates of the step before.

Greff et al. 2015, arXiv:1503.04069, section II with variant FGR: nine more matrices, here as three tall ones that
multiply [y, i, f, o] of the step before.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(
    p: Arrays, x: np.ndarray, y: np.ndarray, c: np.ndarray, i: np.ndarray, f: np.ndarray, o: np.ndarray
) -> tuple[np.ndarray, ...]:
    before = np.concatenate([y, i, f, o], axis=-1)
    bar = {}
    for gate in "ifo":
        tall = np.concatenate([p[f"R.{gate}"], *(p[f"R.{source}_{gate}"] for source in "ifo")])
        bar[gate] = x @ p[f"W.{gate}"] + before @ tall + p[f"b.{gate}"]
    i = sigmoid(bar["i"] + p["p.i"] * c)
    f = sigmoid(bar["f"] + p["p.f"] * c)
    c = np.tanh(x @ p["W.g"] + y @ p["R.g"] + p["b.g"]) * i + c * f
    o = sigmoid(bar["o"] + p["p.o"] * c)
    return np.tanh(c) * o, c, i, f, o


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c", "i", "f", "o"), params, x, state)
