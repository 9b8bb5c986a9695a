"""Light recurrent unit with a tanh candidate.

Ye, Zhang, Liu, Li, Chang and Zheng 2024, Electronics 13(16), 3204, doi:10.3390/electronics13163204.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    candidate = np.tanh(x @ p["W.n"] + p["b.n"])
    forget = sigmoid(np.concatenate([x, h], axis=1) @ np.concatenate([p["W.f"], p["R.f"]]) + p["b.f"])
    return (h + forget * (candidate - h),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
