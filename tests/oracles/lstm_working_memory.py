"""LSTM with working memory connections: a squashed projection of the cell state joins every gate.

Landi, Baraldi, Cornia and Cucchiara 2021, arXiv:2109.00020: tanh(W_ic c(t-1)), tanh(W_fc c(t-1)), tanh(W_oc c(t)).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    def gate(name: str, cell: np.ndarray) -> np.ndarray:
        working_memory = np.tanh(cell @ p[f"R.c_{name}"])
        return sigmoid(working_memory + x @ p[f"W.{name}"] + h @ p[f"R.{name}"] + p[f"b.{name}"])

    cell = gate("f", c) * c + gate("i", c) * np.tanh(x @ p["W.g"] + h @ p["R.g"] + p["b.g"])
    return gate("o", cell) * np.tanh(cell), cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
