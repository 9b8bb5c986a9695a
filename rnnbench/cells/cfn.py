"""Chaos-free network: without input every state decays to zero, since each unit only shrinks its own past.

The forget gate's bias starts at 1, the input gate's at -1. The paper draws all weights from U(-0.07, 0.07); here
they start as in every other cell.

Laurent and von Brecht 2016, arXiv:1612.06212.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"b.f": 1.0, "b.i": -1.0})
def cfn(x, R, b, h):
    f = sigmoid(x.f + R.f(h) + b.f)
    i = sigmoid(x.i + R.i(h) + b.i)
    return f * tanh(h) + i * tanh(x.n)
