"""Multiplicative LSTM: an LSTM that sees m = (W_mx x) * (W_mh h) where it saw h.

Krause, Murray, Renals and Lu 2016, arXiv:1609.07959. With one-hot inputs x, W_mx x picks a diagonal matrix, so every
symbol has a recurrent matrix of its own: R diag(W_mx x) W_mh, which is how it is written here, row by row of the batch.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mixing = p["R.m"] * (x @ p["W.m"])[:, None, :]  # [B, H, H]
    net = {
        unit: x @ p[f"W.{unit}"] + np.einsum("bj,bjk->bk", h, mixing @ p[f"R.{unit}"]) + p[f"b.{unit}"]
        for unit in "iofg"
    }
    c = np.tanh(net["g"]) * sigmoid(net["i"]) + sigmoid(net["f"]) * c
    return np.tanh(c) * sigmoid(net["o"]), c


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
