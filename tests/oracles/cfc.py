"""Closed-form continuous-time network, gated, with a backbone of one tanh layer and an elapsed time of 1.

Hasani et al. 2022, doi:10.1038/s42256-022-00556-7: x = sigma(-f t) g + (1 - sigma(-f t)) h, all three networks on a
shared backbone; their h is the head k here.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

ELAPSED = 1.0


def step(p: Arrays, inputs: np.ndarray, state: np.ndarray) -> tuple[np.ndarray]:
    backbone = np.tanh(np.concatenate([inputs, state], axis=1) @ np.concatenate([p["W.s"], p["R.s"]]) + p["b.s"])
    f, g, h = (backbone @ p[f"R.{head}"] + p[f"b.{head}"] for head in "fgk")
    return (sigmoid(-f * ELAPSED) * np.tanh(g) + sigmoid(f * ELAPSED) * np.tanh(h),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
