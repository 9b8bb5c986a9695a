"""Antisymmetric RNN.

Chang, Chen, Haber and Chi 2019, arXiv:1902.09689, equation 12. The trained matrix is the paper's W_h, whose update uses
W_h - W_h^T - gamma I; vectors are rows here, which only changes the sign of the trained matrix.
"""

import numpy as np

from .sequence import Arrays, run

EPSILON, GAMMA = 0.1, 0.01


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    free = p["R.h"]
    matrix = free - free.T - GAMMA * np.eye(len(free))
    return (h + EPSILON * np.tanh(h @ matrix + x @ p["W.h"] + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
