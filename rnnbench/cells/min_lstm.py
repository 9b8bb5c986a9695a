"""LSTM whose gates and candidate see only the input; the two gates are divided by their sum.

Neither an output gate nor a second state is left, and the state follows a linear recurrence. The division is done on
logarithms, so that two closed gates are no 0/0.

Feng et al. 2024, arXiv:2410.01201, section 3.2, in the stable form and with the positive candidate g of its appendix.
"""

from rnnbench.lang import cell, sigmoid, softplus, where


@cell(states="h")
def min_lstm(x, b, h):
    f = x.f + b.f
    i = x.i + b.i
    a = x.n + b.n
    z = sigmoid(softplus(-f) - softplus(-i))  # sigmoid(i) / (sigmoid(f) + sigmoid(i))
    n = where(a >= 0, a + 0.5, sigmoid(a))
    return (1 - z) * h + z * n
