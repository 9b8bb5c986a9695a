"""Recurrent additive network, output through tanh.

Lee, Levy and Zettlemoyer 2017, arXiv:1705.07393.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    W = np.block([[p["R.i"], p["R.f"]], [p["W.i"], p["W.f"]]])
    gates = sigmoid(np.concatenate([h, x], axis=1) @ W + np.concatenate([p["b.i"], p["b.f"]]))
    input_gate, forget_gate = np.split(gates, 2, axis=1)
    content = x @ p["W.c"]
    memory = forget_gate * c + input_gate * content
    return np.tanh(memory), memory


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
