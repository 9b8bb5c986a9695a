"""np-RNN: the start is the initialiser's, the equation is that of a rectified linear recurrent network.

Talathi and Vartak 2015, arXiv:1511.03771.
"""

import numpy as np

from .activations import relu
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    return (relu(np.concatenate([x, h], axis=1) @ np.concatenate([p["W.h"], p["R.h"]]) + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
