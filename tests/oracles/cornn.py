"""Coupled oscillatory network, damping explicit.

Rusch and Mishra 2021, arXiv:2010.00951, equation 3, with one weight matrix over the concatenated u, z and y.
"""

import numpy as np

from .sequence import Arrays, run

DT, GAMMA, EPSILON = 0.1, 1.0, 1.0


def step(p: Arrays, u: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = np.concatenate([p["W.z"], p["R.z"], p["R.y"]])
    force = np.tanh(np.concatenate([u, z, y], axis=1) @ weights + p["b.z"])
    velocity = (1.0 - DT * EPSILON) * z + DT * force - DT * GAMMA * y
    return y + DT * velocity, velocity


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("y", "z"), params, x, state)
