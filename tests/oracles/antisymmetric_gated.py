"""Antisymmetric RNN with a gate.

Chang, Chen, Haber and Chi 2019, arXiv:1902.09689, equations 16 and 17: gate and candidate share W_h - W_h^T - gamma I.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

EPSILON, GAMMA = 0.1, 0.01


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    free = p["R.h"]
    matrix = free - free.T - GAMMA * np.eye(len(free))
    gate = sigmoid(h @ matrix + x @ p["W.z"] + p["b.z"])
    candidate = np.tanh(h @ matrix + x @ p["W.h"] + p["b.h"])
    return (h + EPSILON * gate * candidate,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
