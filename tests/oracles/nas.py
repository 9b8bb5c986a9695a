"""The cell of neural architecture search, as a tree: every node combines two values, then applies an activation.

Zoph and Le 2017, arXiv:1611.01578, section 3.4 for the rules: a leaf combines a projection of the input with one of the
state; the old cell state is added to the value of one node and its activation applied once more; the new cell state is
the value of one node before its activation. The tree itself is TensorFlow's NASCell, since the paper only draws it.
"""

import numpy as np

from .activations import relu, sigmoid
from .sequence import Arrays, run

# From left to right: how a node combines its two values, and its activation.
LEAVES = [
    (np.add, sigmoid),
    (np.add, relu),
    (np.add, sigmoid),
    (np.multiply, relu),
    (np.add, np.tanh),
    (np.add, sigmoid),
    (np.add, np.tanh),
    (np.add, sigmoid),
]
SECOND = [(np.multiply, np.tanh), (np.add, np.tanh), (np.multiply, np.tanh), (np.add, sigmoid)]


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = [
        activation(combine(x @ p[f"W.{leaf}"], h @ p[f"R.{leaf}"]))
        for leaf, (combine, activation) in zip("abcdefgh", LEAVES, strict=True)
    ]
    values = [
        activation(combine(values[2 * node], values[2 * node + 1])) for node, (combine, activation) in enumerate(SECOND)
    ]
    values[0] = np.tanh(values[0] + c)
    cell = values[0] * values[1]
    return np.tanh(np.tanh(values[2] + values[3]) * cell), cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
