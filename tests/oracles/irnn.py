"""Rectified linear recurrent network started at the identity; the start is the initialiser's, the equation is here.

Le, Jaitly and Hinton 2015, arXiv:1504.00941, section 2.
"""

import numpy as np

from .activations import relu
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    return (relu(x @ p["W.h"] + h @ p["R.h"] + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
