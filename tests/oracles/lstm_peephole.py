"""LSTM with peepholes: input and forget gate see the old cell state, the output gate the new one.

Gers, Schraudolph and Schmidhuber 2002, JMLR 3, pp. 115-143; in the form of Greff et al. 2015, arXiv:1503.04069,
section II (their block input z is g here).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    block_input = np.tanh(x @ p["W.g"] + h @ p["R.g"] + p["b.g"])
    input_gate = sigmoid(x @ p["W.i"] + h @ p["R.i"] + p["p.i"] * c + p["b.i"])
    forget_gate = sigmoid(x @ p["W.f"] + h @ p["R.f"] + p["p.f"] * c + p["b.f"])
    cell = block_input * input_gate + c * forget_gate
    output_gate = sigmoid(x @ p["W.o"] + h @ p["R.o"] + p["p.o"] * cell + p["b.o"])
    return np.tanh(cell) * output_gate, cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
