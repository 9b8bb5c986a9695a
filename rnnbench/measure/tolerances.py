"""How far two computations of the same numbers may differ: one rule for all cells, engines, dtypes and sizes.

Where it comes from. Let u be half the machine epsilon. A sum of n products carries an error of about
``LAMBDA sqrt(n) u`` times its size, except with probability ``2 exp(-LAMBDA**2 / 2)``, 3e-8 for LAMBDA = 6 (Higham and
Mary 2019, doi:10.1137/18M1226312). A step adds the errors of its sum over I inputs, H units and a bias, and of its
pointwise part, ``POINTWISE`` roundings; weights are drawn so that their recurrence does not expand, and the errors of T
steps add up like a random walk::

    forward(T)  = LAMBDA u sqrt(T) (sqrt(I + H + 1) + POINTWISE)
    backward(T) = 3 forward(T) + LAMBDA u sqrt(T B)

The backward has the forward's values in it and twice its products, and weight gradients sum T B terms. Errors are
counted in units of ``max(1, max|expected|)`` of the array: inputs, states and upstream gradients are of size 1.

For T=13, B=7, I=5, H=17 this is 1.1e-5 forward in float32 and 2.1e-14 in float64.

Where only what is multiplied is rounded, to a precision of unit roundoff v, and sums are float32: a product of a matrix
that does not expand with a state of size 1 is then off by about v, whatever its length, because the roundings of its
terms are independent and their squares add up to those of the terms. So a step adds v, and a weight's gradient, a sum
of such products itself, v of its size::

    rounded_forward(T)  = forward(T) + LAMBDA v sqrt(T)
    rounded_backward(T) = backward(T) + 3 LAMBDA v sqrt(T) + LAMBDA v

That float16 has less range than float32 adds nothing to this: gradients are scaled so that the largest that is given
is nearly 1, and what lies below 2^-14 of it is off by 2^-25 of it at most, far less than v.
"""

import numpy as np

LAMBDA = 6.0
POINTWISE = 4.0
# Machine epsilons of what tensor cores multiply.
PRECISIONS = {"tf32": 2.0**-10, "float16": 2.0**-10, "bfloat16": 2.0**-7}


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


def rounded_forward(precision: str, sizes: tuple[int, int, int, int]) -> float:
    """Return the tolerance of outputs and final states where float32 is rounded to ``precision`` to be multiplied."""
    return forward("float32", sizes) + LAMBDA * PRECISIONS[precision] / 2 * np.sqrt(sizes[0])


def rounded_backward(precision: str, sizes: tuple[int, int, int, int]) -> float:
    """Return the tolerance of gradients where float32 is rounded to ``precision`` to be multiplied."""
    return backward("float32", sizes) + LAMBDA * PRECISIONS[precision] / 2 * (3 * np.sqrt(sizes[0]) + 1)


def error(got: np.ndarray, expected: np.ndarray, left_out: float = 0.0) -> float:
    """Return the largest difference in units of ``max(1, max|expected|)``.

    The share ``left_out`` of the entries with the largest differences does not count. The result is NaN where a value
    is not a number, and infinite where the shapes differ.
    """
    if got.shape != expected.shape:
        return np.inf
    off = np.abs(got - expected)
    largest = np.quantile(off, 1 - left_out, method="lower") if left_out else off.max()
    return float(largest / max(1.0, np.abs(expected).max()))
