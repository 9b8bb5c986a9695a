"""Clockwork RNN with four groups of periods 1, 2, 4 and 8; a group reads itself and the slower ones.

Koutnik, Greff, Gomez and Schmidhuber 2014, arXiv:1402.3511, section 3.
"""

import numpy as np

from .sequence import Arrays, run

GROUPS = 4


def step(p: Arrays, x: np.ndarray, h: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    units = h.shape[1]
    new = h.copy()
    for unit in range(units):
        group = unit * GROUPS // units
        heard = [other for other in range(units) if other * GROUPS // units >= group]
        moved = np.tanh(x @ p["W.h"][:, unit] + h[:, heard] @ p["R.h"][heard, unit] + p["b.h"][unit])
        due = np.mod(np.floor(np.real(t[:, unit])), 2**group) == 0
        new[:, unit] = np.where(due, moved, h[:, unit])
    return new, t + 1


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    kind = np.result_type(*params.values(), x, *state.values())
    return run(step, ("h", "t"), params, x, {name: value.astype(kind) for name, value in state.items()})
