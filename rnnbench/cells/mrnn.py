"""Multiplicative RNN: the input chooses the recurrent matrix, by weighting the factors of a factored product.

There are as many factors as units, and no bias.

Sutskever, Martens and Hinton 2011, Generating text with recurrent neural networks, ICML.
"""

from rnnbench.lang import cell, tanh


@cell(states="h")
def mrnn(x, R, h):
    f = x.f * R.f(h)
    return tanh(x.h + R.h(f))
