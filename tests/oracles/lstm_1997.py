"""Long short-term memory without a forget gate, memory cell blocks of size one.

Hochreiter and Schmidhuber 1997, Neural Computation 9(8), doi:10.1162/neco.1997.9.8.1735, section 4:
s(t) = s(t-1) + y_in g(net_c), y_c = y_out h(s); appendix A.1: g(a) = 4 / (1 + exp(-a)) - 2 and
h(a) = 2 / (1 + exp(-a)) - 1, written here by their identities with tanh. Gates and cells feed back through the cells'
outputs alone.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, y_c: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    net_in, net_c, net_out = (x @ p[f"W.{unit}"] + y_c @ p[f"R.{unit}"] + p[f"b.{unit}"] for unit in "igo")
    s = s + 2.0 * np.tanh(0.5 * net_c) * sigmoid(net_in)
    return np.tanh(0.5 * s) * sigmoid(net_out), s


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
