"""Activation functions on real and on complex arrays; a kink looks at the real part only."""

import numpy as np


def sigmoid(a: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-a)), by its identity with tanh, which cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * a))


def relu(a: np.ndarray) -> np.ndarray:
    """Return a where its real part is positive, else 0."""
    return np.where(np.real(a) > 0.0, a, 0.0)
