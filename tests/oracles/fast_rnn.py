"""FastRNN: a residual connection with two trained scalars, each the sigmoid of what is trained.

Kusupati et al. 2018, arXiv:1901.02358, section 3.1.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    update = np.tanh(np.concatenate([x, h], axis=1) @ np.concatenate([p["W.h"], p["R.h"]]) + p["b.h"])
    return (sigmoid(p["p.alpha"][0]) * update + sigmoid(p["p.beta"][0]) * h,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
