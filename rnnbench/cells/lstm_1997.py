"""Long short-term memory as first published: no forget gate, so the cell state only adds up; block input in [-2, 2].

The paper lets any unit feed back to any other, gates too; here the outputs alone do (lstm_fgr has feedback from gates).
It starts gates with negative biases, different ones in every experiment: set b.i and b.o for that.

Popular code: tanh for both squashing functions, which halves the first one's range and doubles the second one's slope.

Hochreiter and Schmidhuber 1997, Neural Computation 9(8), doi:10.1162/neco.1997.9.8.1735, section 4; squashing functions
in appendix A.1.
"""

from rnnbench.lang import cell, sigmoid


@cell(states="h c")
def lstm_1997(x, R, b, h, c):
    i = sigmoid(x.i + R.i(h) + b.i)
    g = 4 * sigmoid(x.g + R.g(h) + b.g) - 2
    o = sigmoid(x.o + R.o(h) + b.o)
    c = c + i * g
    return o * (2 * sigmoid(c) - 1), c
