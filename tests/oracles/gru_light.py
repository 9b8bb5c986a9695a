"""Light gated recurrent unit (Li-GRU).

Ravanelli, Brakel, Omologo and Bengio 2018, arXiv:1803.10225: update gate and candidate from one stacked product each
with x and h; rectified linear candidate; no reset gate. A bias stands where the paper has batch normalisation.
"""

import numpy as np

from .activations import relu, sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    W = np.concatenate([p["W.z"], p["W.n"]], axis=1)
    U = np.concatenate([p["R.z"], p["R.n"]], axis=1)
    update, candidate = np.split(x @ W + h @ U + np.concatenate([p["b.z"], p["b.n"]]), 2, axis=1)
    keep = sigmoid(update)
    return (relu(candidate) + keep * (h - relu(candidate)),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
