"""Peephole LSTM with coupled input and forget gate: the input gate is 1 - f.

Greff et al. 2015, arXiv:1503.04069, section III (variant CIFG).
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_cifg(x, R, b, p, h, c):
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + (1 - f) * g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * tanh(c), c
