"""LSTM with working memory connections: gates see the cell state through a full matrix and a tanh, which keeps a large
cell state from saturating them; the output gate sees the new one.

Popular code: torchrecurrent adds a bias inside that tanh.

Landi, Baraldi, Cornia and Cucchiara 2021, arXiv:2109.00020, the section on working memory connections.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_working_memory(x, R, b, h, c):
    i = sigmoid(x.i + R.i(h) + tanh(R.c_i(c)) + b.i)
    f = sigmoid(x.f + R.f(h) + tanh(R.c_f(c)) + b.f)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + tanh(R.c_o(c)) + b.o)
    return o * tanh(c), c
