"""sLSTM, one head: exponential input gate, logistic forget gate, normaliser.

Beck et al. 2024, arXiv:2405.04517, equations 8 to 14, without the stabiliser: c and n are carried over in full size,
c exp(m) and n exp(m), and brought back to the size that the stabiliser of equations 15 to 17 gives them only where they
are handed on. So that the stabiliser changes no output is tested, not assumed.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(
    p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray, n: np.ndarray, m: np.ndarray
) -> tuple[np.ndarray, ...]:
    net = {unit: x @ p[f"W.{unit}"] + h @ p[f"R.{unit}"] + p[f"b.{unit}"] for unit in "zifo"}
    input_gate, forget_gate = np.exp(net["i"]), sigmoid(net["f"])
    first = np.real(n) <= 0  # then m is that of the input gate alone
    c = forget_gate * (c * np.exp(m)) + input_gate * np.tanh(net["z"])
    n = forget_gate * (n * np.exp(m)) + input_gate
    kept = m - np.log1p(np.exp(-net["f"]))
    m = np.where(~first & (np.real(kept) >= np.real(net["i"])), kept, net["i"])
    return sigmoid(net["o"]) * c / n, c * np.exp(-m), n * np.exp(-m), m


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c", "n", "m"), params, x, state)
