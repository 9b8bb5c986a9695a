"""Liquid time-constant network, f a sigmoid layer, six fused sub-steps of 1/6 for every input.

Hasani, Lechner, Amini, Rus and Grosu 2021, arXiv:2006.04439, equation 3 and algorithm 1 (gamma = W.f, gamma_r = R.f,
mu = b.f, A = p.a; 1/tau is the softplus of p.leak).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run

UNFOLDS = 6


def fused_step(p: Arrays, state: np.ndarray, inputs: np.ndarray, dt: float) -> np.ndarray:
    f = sigmoid(state @ p["R.f"] + inputs @ p["W.f"] + p["b.f"])
    tau = 1.0 / np.log(1.0 + np.exp(p["p.leak"]))
    return (state + dt * f * p["p.a"]) / (1.0 + dt * (1.0 / tau + f))


def step(p: Arrays, inputs: np.ndarray, state: np.ndarray) -> tuple[np.ndarray]:
    for _ in range(UNFOLDS):
        state = fused_step(p, state, inputs, 1.0 / UNFOLDS)
    return (state,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
