"""LSTM whose recurrent matrix depends on the input: gates see m, the old output times a projection of the input.

Popular code: the authors' first code (MATLAB) leaves the block input linear and squashes after the output gate,
h = tanh(o c + b); their later code and most others do as here. torchrecurrent adds a bias to both factors of m.

Krause, Murray, Renals and Lu 2016, arXiv:1609.07959, the section on multiplicative LSTM.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_multiplicative(x, R, b, h, c):
    m = x.m * R.m(h)
    i = sigmoid(x.i + R.i(m) + b.i)
    f = sigmoid(x.f + R.f(m) + b.f)
    g = tanh(x.g + R.g(m) + b.g)
    o = sigmoid(x.o + R.o(m) + b.o)
    c = f * c + i * g
    return o * tanh(c), c
