"""LSTM whose gates see the cell state through per-unit weights; the output gate sees the new one.

Gers, Schraudolph and Schmidhuber 2002, JMLR 3, pp. 115-143; notation of Greff et al. 2015, arXiv:1503.04069,
section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_peephole(x, R, b, p, h, c):
    i = sigmoid(x.i + R.i(h) + b.i + p.i * c)
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * tanh(c), c
