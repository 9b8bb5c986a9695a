"""Simple recurrent network with a tanh activation.

Elman 1990, Cognitive Science 14(2), doi:10.1207/s15516709cog1402_1.
"""

from rnnbench.lang import cell, tanh


@cell(states="h")
def elman_tanh(x, R, b, h):
    return tanh(x.h + R.h(h) + b.h)
