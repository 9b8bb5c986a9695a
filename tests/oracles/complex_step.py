"""Gradients of an oracle by the complex step, accurate to rounding since nothing is subtracted.

Squire and Trapp 1998, SIAM Review 40(1), doi:10.1137/S003614459631241X: df/dv = Im f(v + i e) / e, error O(e^2).
"""

import numpy as np

from . import Arrays, Forward

STEP = 1e-50  # its square is far below rounding, and its products with weights and inputs are far above underflow


def gradients(forward: Forward, params: Arrays, x: np.ndarray, state: Arrays, dy: np.ndarray, dfinal: Arrays) -> Arrays:
    """Return the gradients of ``sum(dy * y) + sum(dfinal * final states)``.

    Named like ``params``, with "x" and every name in ``state``: one run of the oracle for every single number.
    """
    variables = {name: value.astype(complex) for name, value in {**params, "x": x, **state}.items()}

    def objective() -> complex:
        y, final = forward(
            {name: variables[name] for name in params}, variables["x"], {name: variables[name] for name in state}
        )
        return np.sum(dy * y) + sum(np.sum(dfinal[name] * final[name]) for name in dfinal)

    result = {}
    for name, variable in variables.items():
        result[name] = np.empty(variable.shape)
        for index in np.ndindex(variable.shape):
            variable[index] += STEP * 1j
            result[name][index] = objective().imag / STEP
            variable[index] = np.real(variable[index])
    return result
