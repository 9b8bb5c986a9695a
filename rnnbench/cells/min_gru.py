"""GRU whose gate and candidate see only the input, so that the state follows a linear recurrence.

Feng et al. 2024, arXiv:2410.01201, section 3.1, with the positive candidate g of its appendix.
"""

from rnnbench.lang import cell, sigmoid, where


@cell(states="h")
def min_gru(x, b, h):
    z = sigmoid(x.z + b.z)
    a = x.n + b.n
    n = where(a >= 0, a + 0.5, sigmoid(a))
    return (1 - z) * h + z * n
