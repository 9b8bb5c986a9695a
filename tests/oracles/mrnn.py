"""Multiplicative RNN, as many factors as units.

Sutskever, Martens and Hinton 2011, Generating text with recurrent neural networks, ICML. Written as a recurrent matrix
of its own for every sequence and step, W_hf diag(W_fx x) W_fh.
"""

import numpy as np

from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    recurrent = np.einsum("kf,bf,fj->bkj", p["R.f"], x @ p["W.f"], p["R.h"])
    return (np.tanh(x @ p["W.h"] + np.einsum("bk,bkj->bj", h, recurrent)),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
