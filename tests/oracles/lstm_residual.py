"""Residual LSTM: a peephole LSTM with output projection, to which a shortcut from the layer below is added.

Kim, El-Khamy and Lee 2017, arXiv:1701.03360: r = tanh(c), m = W_p r, h = o * (m + W_h x).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    below = np.concatenate([x, h], axis=-1)
    net = {unit: below @ np.concatenate([p[f"W.{unit}"], p[f"R.{unit}"]]) + p[f"b.{unit}"] for unit in "ifgo"}
    input_gate, forget_gate = (sigmoid(net[gate] + c * p[f"p.{gate}"]) for gate in "if")
    c = input_gate * np.tanh(net["g"]) + forget_gate * c
    r = np.tanh(c)
    m = r @ p["R.p"]
    return sigmoid(net["o"] + c * p["p.o"]) * (m + x @ p["W.skip"]), c


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
