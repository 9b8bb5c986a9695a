"""Peephole LSTM without an output activation function: the gated cell state itself is the output.

Greff et al. 2015, arXiv:1503.04069, variant NOAF of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_noaf(x, R, b, p, h, c):
    i = sigmoid(x.i + R.i(h) + b.i + p.i * c)
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * c, c
