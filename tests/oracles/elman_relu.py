"""Simple recurrent network, rectified linear units.

Elman 1990, Cognitive Science 14(2), doi:10.1207/s15516709cog1402_1, figure 2: the hidden units see the input and a
copy of themselves one step ago (the context units).
The activation as in Le, Jaitly and Hinton 2015, arXiv:1504.00941.
"""

import numpy as np

from .activations import relu
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    return (relu(x @ p["W.h"] + h @ p["R.h"] + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
