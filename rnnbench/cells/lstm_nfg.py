"""Peephole LSTM without a forget gate: the cell state only adds up.

Greff et al. 2015, arXiv:1503.04069, variant NFG of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c")
def lstm_nfg(x, R, b, p, h, c):
    i = sigmoid(x.i + R.i(h) + b.i + p.i * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = c + i * g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * tanh(c), c
