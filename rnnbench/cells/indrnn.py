"""Independently recurrent network: every unit sees only its own past, through one weight.

Li et al. 2018, arXiv:1803.04831, equation 2.
"""

from rnnbench.lang import cell, relu


@cell(states="h", init={"p.u": "uniform(0, 1)"})
def indrnn(x, b, p, h):
    return relu(x.h + p.u * h + b.h)
