"""Peephole LSTM without an input gate: the block input is always written in full.

Greff et al. 2015, arXiv:1503.04069, variant NIG of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_nig(x, R, b, p, h, c):
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * tanh(c), c
