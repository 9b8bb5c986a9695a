"""Bistable recurrent cell: feedback a in (0, 2) of a unit to itself, so that above 1 it holds one of two states.

The gates a and c have biases and the candidate has none, and the units' own weights start at 1, as in the authors'
code.

Popular code: torchrecurrent gives the candidate a bias.

Vecoven, Ernst and Drion 2021, PLoS ONE 16(6), doi:10.1371/journal.pone.0252676, arXiv:2006.05252.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"p": 1.0})
def brc(x, b, p, h):
    a = 1 + tanh(x.a + p.a * h + b.a)
    c = sigmoid(x.c + p.c * h + b.c)
    return c * h + (1 - c) * tanh(x.n + a * h)
