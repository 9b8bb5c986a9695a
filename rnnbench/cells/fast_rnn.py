"""Simple recurrent network with a weighted residual connection, whose two weights are trained scalars.

Kusupati et al. 2018, arXiv:1901.02358, section 3.1; the weights lie in (0, 1) through a sigmoid, as in section 3.1.1.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(
    states="h",
    structures={"p.alpha": "shared", "p.beta": "shared"},
    init={"p.alpha": -3.0, "p.beta": 3.0},
)
def fast_rnn(x, R, b, p, h):
    n = tanh(x.h + R.h(h) + b.h)
    return sigmoid(p.alpha) * n + sigmoid(p.beta) * h
