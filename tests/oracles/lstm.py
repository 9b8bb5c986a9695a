"""Long short-term memory with a forget gate and no peepholes.

Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; forget gate: Gers, Schmidhuber and Cummins 2000,
doi:10.1162/089976600300015015 (both squashing functions tanh, as has become usual).
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    net = {gate: x @ p[f"W.{gate}"] + h @ p[f"R.{gate}"] + p[f"b.{gate}"] for gate in "ifgo"}
    kept = c * sigmoid(net["f"])
    written = sigmoid(net["i"]) * np.tanh(net["g"])
    cell = kept + written
    return sigmoid(net["o"]) * np.tanh(cell), cell


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h", "c"), params, x, state)
