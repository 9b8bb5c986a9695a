"""Peephole LSTM with one gate for input and forgetting.

Greff et al. 2015, arXiv:1503.04069, variant CIFG: f = 1 - i. The paper keeps the input gate's weights;
rnnbench keeps the forget gate's. Since 1 - sigmoid(a) = sigmoid(-a), the paper's are ours with the sign turned.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    block_input = np.tanh(x @ p["W.g"] + h @ p["R.g"] + p["b.g"])
    input_gate = sigmoid(x @ -p["W.f"] + h @ -p["R.f"] + -p["p.f"] * c - p["b.f"])
    forget_gate = 1.0 - input_gate
    cell = block_input * input_gate + c * forget_gate
    output_gate = sigmoid(x @ p["W.o"] + h @ p["R.o"] + p["p.o"] * cell + p["b.o"])
    return np.tanh(cell) * output_gate, cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
