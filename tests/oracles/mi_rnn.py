"""Simple recurrent network with multiplicative integration, the general form.

Wu, Zhang, Zhang, Bengio and Salakhutdinov 2016, arXiv:1606.06630.
"""

import numpy as np

from .sequence import Arrays, run


def step(p: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray]:
    from_input, from_state = x @ p["W.h"], h @ p["R.h"]
    gated = (p["p.alpha"] * from_input + p["p.beta1"]) * from_state
    return (np.tanh(gated + p["p.beta2"] * from_input + p["b.h"]),)


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    return run(step, ("h",), params, x, state)
