"""Peephole LSTM without an output gate: the squashed cell state is always seen in full.

Greff et al. 2015, arXiv:1503.04069, variant NOG of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_nog(x, R, b, p, h, c):
    i = sigmoid(x.i + R.i(h) + b.i + p.i * c)
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    return tanh(c), c
