"""How far two computations of the same numbers may differ: one rule for all cells, engines, dtypes and sizes.

Where it comes from. Let u be half the machine epsilon. A sum of n products carries an error of about
``LAMBDA sqrt(n) u`` times its size, except with probability ``2 exp(-LAMBDA**2 / 2)``, 3e-8 for LAMBDA = 6 (Higham and
Mary 2019, doi:10.1137/18M1226312). A step adds the errors of its sum over I inputs, H units and a bias, and of its
pointwise part, ``POINTWISE`` roundings; tests draw weights whose recurrence does not expand (``problems.draw``), so the
errors of T steps add up like a random walk::

    forward(T)  = LAMBDA u sqrt(T) (sqrt(I + H + 1) + POINTWISE)
    backward(T) = 3 forward(T) + LAMBDA u sqrt(T B)

The backward has the forward's values in it and twice its products, and weight gradients sum T B terms. Errors are
counted in units of ``max(1, max|expected|)`` of the array: tests draw inputs, states and upstream gradients of size 1.

For T=13, B=7, I=5, H=17 this is 1.1e-5 forward in float32 and 2.1e-14 in float64.
"""

import numpy as np

LAMBDA = 6.0
POINTWISE = 4.0

# With other libraries, in float32 (they round too, and say nothing about how).
OUTSIDE = 1e-5

# A saturating activation alone, in units of machine epsilon.
ACTIVATION = 4.0


def epsilon(dtype: str) -> float:
    """Return the machine epsilon of a dtype."""
    return float(np.finfo(dtype).eps)


def forward(dtype: str, sizes: tuple[int, int, int, int]) -> float:
    """Return the tolerance of outputs and final states for ``sizes`` (T, B, I, H)."""
    steps, _, inputs, units = sizes
    return LAMBDA * epsilon(dtype) / 2 * np.sqrt(steps) * (np.sqrt(inputs + units + 1) + POINTWISE)


def backward(dtype: str, sizes: tuple[int, int, int, int]) -> float:
    """Return the tolerance of gradients for ``sizes`` (T, B, I, H)."""
    steps, batch, _, _ = sizes
    return 3 * forward(dtype, sizes) + LAMBDA * epsilon(dtype) / 2 * np.sqrt(steps * batch)


def assert_close(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Fail unless the arrays have one shape and no number is further off than ``tolerance * max(1, max|expected|)``."""
    assert got.shape == expected.shape, f"{name} has shape {got.shape}, expected {expected.shape}"
    error = np.abs(got - expected).max() / max(1.0, np.abs(expected).max())
    # Written so that NaN fails.
    assert error <= tolerance, f"{name} is off by {error:.2e}, tolerance {tolerance:.2e}"


def assert_all_close(got: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Fail unless both dicts have the same names and close arrays."""
    assert set(got) == set(expected)
    for name in expected:
        assert_close(name, got[name], expected[name], tolerance)
