"""Simple recurrent network with a logistic activation, as first published.

Elman 1990, Cognitive Science 14(2), doi:10.1207/s15516709cog1402_1.
"""

from rnnbench.lang import cell, sigmoid


@cell(states="h")
def elman_sigmoid(x, R, b, h):
    return sigmoid(x.h + R.h(h) + b.h)
