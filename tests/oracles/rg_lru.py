"""Real-gated linear recurrent unit, the power taken as it stands in the paper's main text.

De et al. 2024, arXiv:2402.19427, equations 1 to 4, a = sigma(Lambda), c = 8; the layer's input is the projection v.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

C = 8.0


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    recurrence_gate = sigmoid(x @ p["W.r"] + p["b.r"])
    input_gate = sigmoid(x @ p["W.i"] + p["b.i"])
    a = sigmoid(p["p.lam"]) ** (C * recurrence_gate)
    return (a * h + np.sqrt(1.0 - a**2) * (input_gate * (x @ p["W.v"])),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
