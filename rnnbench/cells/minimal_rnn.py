"""Minimal RNN: the input becomes a latent vector z, and one gate averages the state with it.

Chen 2017, arXiv:1711.06788.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def minimal_rnn(x, R, b, h):
    z = tanh(x.z + b.z)
    u = sigmoid(R.u(h) + R.z(z) + b.u)
    return u * h + (1 - u) * z
