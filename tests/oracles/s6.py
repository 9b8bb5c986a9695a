"""S6: h_n = exp(Delta A_n) h_n + Delta B_n u, y = sum of C_n h_n + D u, with Delta, B and C projections of the input.

Gu and Dao 2023, arXiv:2312.00752, algorithm 2, with the authors' rule for the input; all states of a unit at once.
"""

import numpy as np

from .sequence import Arrays

NAMES = ("h1", "h2", "h3", "h4")


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    decay = -np.exp(np.stack([params[f"p.A{n}"] for n in (1, 2, 3, 4)], axis=-1))
    into, out = (np.concatenate([params[f"W.{name}{n}"] for n in (1, 2, 3, 4)], axis=1) for name in "BC")
    h, outputs = np.stack([state[name] for name in NAMES], axis=-1), []
    for x_t in x:
        delta = np.log(1 + np.exp(x_t @ params["W.step"] + params["b.step"]))[:, :, None]
        u = (x_t @ params["W.u"])[:, :, None]
        h = np.exp(delta * decay) * h + delta * (x_t @ into)[:, None, :] * u
        outputs.append(np.einsum("bhn,bn->bh", h, x_t @ out) + params["p.D"] * u[:, :, 0])
    return np.stack(outputs), {"y": outputs[-1]} | {name: h[:, :, n] for n, name in enumerate(NAMES)}
