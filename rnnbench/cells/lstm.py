"""Long short-term memory with a forget gate, without peepholes; the forget gate's bias starts at 1.

Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; forget gate: Gers, Schmidhuber and Cummins 2000,
doi:10.1162/089976600300015015; its bias of 1: Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm(x, R, b, h, c):
    i = sigmoid(x.i + R.i(h) + b.i)
    f = sigmoid(x.f + R.f(h) + b.f)
    g = tanh(x.g + R.g(h) + b.g)
    o = sigmoid(x.o + R.o(h) + b.o)
    c = f * c + i * g
    return o * tanh(c), c
