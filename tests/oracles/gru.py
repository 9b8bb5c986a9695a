"""Gated recurrent unit, reset gate after the recurrent product.

Cho et al. 2014, arXiv:1406.1078v1, section 2.3, where the reset gate multiplies U h; with the bias inside the reset
product that cuDNN has (ONNX: linear_before_reset = 1).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    reset = sigmoid(x @ p["W.r"] + h @ p["R.r"] + p["b.r"])
    update = sigmoid(x @ p["W.z"] + h @ p["R.z"] + p["b.z"])
    candidate = np.tanh(x @ p["W.n"] + p["b.n"] + reset * (h @ p["R.n"] + p["b.rn"]))
    return (update * h + (1.0 - update) * candidate,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
