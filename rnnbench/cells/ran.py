"""Recurrent additive network: an LSTM whose content is a linear function of the input, without an output gate.

The paper's variant with h = tanh(c); the other has h = c.

Lee, Levy and Zettlemoyer 2017, arXiv:1705.07393.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c")
def ran(x, R, b, h, c):
    i = sigmoid(x.i + R.i(h) + b.i)
    f = sigmoid(x.f + R.f(h) + b.f)
    c = i * x.c + f * c
    return tanh(c), c
