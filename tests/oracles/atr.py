"""Addition-subtraction twin-gated recurrent unit.

Zhang, Xiong, Su, Lin and Zhang 2018, arXiv:1810.12546.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    from_input, from_history = x @ p["W.p"], h @ p["R.q"]
    input_gate = sigmoid(from_history + from_input)
    forget_gate = 1.0 - sigmoid(from_history - from_input)
    return (forget_gate * h + input_gate * from_input,)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
