"""Minimal RNN with one tanh layer as the map into the latent space.

Chen 2017, arXiv:1711.06788 (their U_h and U_z are R.u and R.z here).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    z = np.tanh(x @ p["W.z"] + p["b.z"])
    u = sigmoid(np.concatenate([h, z], axis=1) @ np.concatenate([p["R.u"], p["R.z"]]) + p["b.u"])
    return (z + u * (h - z),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
