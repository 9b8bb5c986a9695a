"""LRU: x_k = Lambda x_(k-1) + gamma B u_k, y_k = Re(C x_k) + D u_k with a complex diagonal Lambda.

Orvieto et al. 2023, arXiv:2303.06349, section 3: Lambda = exp(-exp(nu) + i exp(theta)). Complex numbers are 2 x 2 real
matrices here, since the complex step needs the imaginary unit for itself.
"""

import numpy as np

from .sequence import Arrays


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    modulus = np.exp(-np.exp(params["p.re.radius"]))
    angle = np.exp(params["p.re.angle"])
    rotation = modulus * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(params["p.re.gamma"])
    pair, outputs = np.stack([state["re"], state["im"]]), []
    for u in x:
        driven = np.stack([u @ params["W.re"], u @ params["W.im"]])
        pair = np.einsum("pqh,qbh->pbh", rotation, pair) + scale * driven
        outputs.append(pair[0] @ params["R.re"] - pair[1] @ params["R.im"] + u @ params["W.skip"])
    return np.stack(outputs), {"y": outputs[-1], "re": pair[0], "im": pair[1]}
