"""Simple recurrent unit: light recurrence in c, highway output h.

Lei, Zhang, Wang, Dai and Artzi 2018, arXiv:1709.02755, equations 1 to 4, all products with x in one; the highway's x
is the projection skip.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grouped = x @ np.concatenate([p["W.c"], p["W.f"], p["W.r"], p["W.skip"]], axis=1)
    candidate, forget, reset, highway = np.split(grouped, 4, axis=1)
    forget = sigmoid(forget + p["p.f"] * c + p["b.f"])
    reset = sigmoid(reset + p["p.r"] * c + p["b.r"])
    c = candidate + forget * (c - candidate)
    return highway + reset * (c - highway), c


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
