"""Long expressive memory.

Rusch, Mishra, Erichson and Mahoney 2022, arXiv:2110.04744, equation 3. Their W_1, W_2, W_z (from y) and W_y (from z)
are R.s, R.t, R.z and R.y; the maximal time step is 1.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

DT = 1.0


def step(p: Arrays, u: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stacked = np.concatenate([u, y], axis=1)
    one, two, three = (stacked @ np.concatenate([p[f"W.{n}"], p[f"R.{n}"]]) + p[f"b.{n}"] for n in "stz")
    slow, fast = DT * sigmoid(one), DT * sigmoid(two)
    z = z + slow * (np.tanh(three) - z)
    y = y + fast * (np.tanh(np.concatenate([u, z], axis=1) @ np.concatenate([p["W.y"], p["R.y"]]) + p["b.y"]) - y)
    return y, z


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("y", "z"), params, x, state)
