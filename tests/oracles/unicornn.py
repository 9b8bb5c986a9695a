"""Undamped independent oscillators, symplectic Euler: the force at the old position, then the new position.

Rusch and Mishra 2021, arXiv:2103.05487, section 2; their modulating function is 1/2 + tanh(c / 2) / 2.
"""

import numpy as np

from .sequence import Arrays, run

DT, ALPHA = 0.126, 13.0


def step(p: Arrays, u: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    time_step = DT * (0.5 + 0.5 * np.tanh(p["p.c"] / 2.0))
    gradient_of_potential = np.tanh(p["p.w"] * y + u @ p["W.z"] + p["b.z"]) + ALPHA * y
    momentum = z - time_step * gradient_of_potential
    return y + time_step * momentum, momentum


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("y", "z"), params, x, state)
