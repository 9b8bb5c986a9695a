"""Simple recurrent network, tanh units.

Elman 1990, Cognitive Science 14(2), doi:10.1207/s15516709cog1402_1, figure 2: the hidden units see the input and a
copy of themselves one step ago (the context units).
"""

import numpy as np

from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    return (np.tanh(x @ p["W.h"] + h @ p["R.h"] + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
