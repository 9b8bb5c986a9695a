"""Gated recurrent unit, reset gate applied after the recurrent product (the cuDNN form).

Cho et al. 2014, arXiv:1406.1078v1.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def gru(x, R, b, h):
    r = sigmoid(x.r + R.r(h) + b.r)
    z = sigmoid(x.z + R.z(h) + b.z)
    n = tanh(x.n + b.n + r * (R.n(h) + b.rn))
    return (1 - z) * n + z * h
