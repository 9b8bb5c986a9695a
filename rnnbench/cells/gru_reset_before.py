"""Gated recurrent unit, reset gate applied to the state before the recurrent product.

Cho et al. 2014, arXiv:1406.1078v3, equations 5 to 8.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def gru_reset_before(x, R, b, h):
    r = sigmoid(x.r + R.r(h) + b.r)
    z = sigmoid(x.z + R.z(h) + b.z)
    n = tanh(x.n + R.n(r * h) + b.n)
    return (1 - z) * n + z * h
