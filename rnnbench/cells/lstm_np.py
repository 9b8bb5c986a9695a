"""Peephole LSTM without its peepholes: the equations of lstm, under the name that the study of variants gives them.

Greff et al. 2015, arXiv:1503.04069, variant NP of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_np(x, R, b, h, c):
    i = sigmoid(x.i + R.i(h) + b.i)
    f = sigmoid(x.f + R.f(h) + b.f)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + b.o)
    return o * tanh(c), c
