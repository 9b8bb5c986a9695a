"""Independently recurrent network: one recurrent weight per unit.

Li et al. 2018, arXiv:1803.04831, section 3 (the recurrence is a Hadamard product), rectified linear units.
"""

import numpy as np

from .activations import relu
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    return (relu(x @ p["W.h"] + p["p.u"] * h + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
