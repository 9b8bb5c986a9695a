"""Peephole LSTM with a shortcut from the input to the output: the output gate opens to a projection R.p of the squashed
cell state plus a projection x.skip of the input.

Where input and output have one size the paper also takes the input itself as the shortcut.

Popular code: some implementations leave out R.p, take full matrices for the peepholes, or take the input out of the
block input.

Kim, El-Khamy and Lee 2017, arXiv:1701.03360, the section on residual LSTM.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c", init={"b.f": 1.0})
def lstm_residual(x, R, b, p, h, c):
    i = sigmoid(x.i + R.i(h) + b.i + p.i * c)
    f = sigmoid(x.f + R.f(h) + b.f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + b.o + p.o * c)
    return o * (R.p(tanh(c)) + x.skip), c
