"""Minimal gated unit: the forget gate is the reset gate too.

Zhou, Wu, Zhang and Zhou 2016, arXiv:1603.09420, section 3.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    forget = sigmoid(x @ p["W.f"] + h @ p["R.f"] + p["b.f"])
    candidate = np.tanh(x @ p["W.n"] + (forget * h) @ p["R.n"] + p["b.n"])
    return ((1.0 - forget) * h + forget * candidate,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
