"""QRNN with fo-pooling and filters that are two steps wide.

Bradbury, Merity, Xiong and Socher 2016, arXiv:1611.01576, equations 1, 2 and 4. The convolution is one product with
this input and the one before, side by side; what came before the first is given by the late states as its projection.
"""

import numpy as np

from .activations import sigmoid
from .sequence import Arrays


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    gates = {}
    for name in "zfo":
        pairs = np.concatenate([x[1:], x[:-1]], axis=2)
        filters = np.concatenate([params[f"W.{name}"], params[f"W.{name}_late"]])
        first = x[:1] @ params[f"W.{name}"] + state[f"{name}_late"]
        gates[name] = np.concatenate([first, pairs @ filters]) + params[f"b.{name}"]
    z, f, o = np.tanh(gates["z"]), sigmoid(gates["f"]), sigmoid(gates["o"])
    c, outputs = state["c"], []
    for z_t, f_t, o_t in zip(z, f, o, strict=True):
        c = f_t * c + (1 - f_t) * z_t
        outputs.append(o_t * c)
    late = {f"{name}_late": x[-1] @ params[f"W.{name}_late"] for name in "zfo"}
    return np.stack(outputs), {"h": outputs[-1], "c": c, **late}
