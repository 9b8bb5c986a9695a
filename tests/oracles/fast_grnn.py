"""FastGRNN: gate and candidate share their matrices and differ in their biases.

Kusupati et al. 2018, arXiv:1901.02358, section 3.2.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    shared = np.concatenate([x, h], axis=1) @ np.concatenate([p["W.h"], p["R.h"]])
    gate = sigmoid(shared + p["b.z"])
    candidate = np.tanh(shared + p["b.n"])
    zeta, nu = sigmoid(p["p.zeta"][0]), sigmoid(p["p.nu"][0])
    return (zeta * (1 - gate) * candidate + nu * candidate + gate * h,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
