"""Selective state space layer: a diagonal linear recurrence whose step, input and output weights the input chooses.

Every unit has four states here (the paper: 16). Input and output weights are the same for all units, one number a
state; the step is a full projection (the paper: one of low rank). The layer's own input, of size H in the paper, is the
projection u. The convolution and the gate that Mamba puts around it are not part of the cell.

Popular code: as in the authors' code, the input is discretised by Euler's rule, not by the paper's zero-order hold.

Gu and Dao 2023, arXiv:2312.00752, algorithm 2 and section 3.
"""

from math import log

from rnnbench.lang import cell, exp, softplus

STATES = (1, 2, 3, 4)


@cell(
    states="y h1 h2 h3 h4",
    structures={f"W.{name}{n}": "shared" for name in "BC" for n in STATES},
    init={
        "p.D": 1.0,
        "b.step": -4.6,
        **{f"p.A{n}": log(n) for n in STATES},
    },
)
def s6(x, b, p, h1, h2, h3, h4):
    step = softplus(x.step + b.step)
    u = x.u
    y, new = p.D * u, []
    for n, h in zip(STATES, (h1, h2, h3, h4), strict=True):
        h = exp(-step * exp(getattr(p, f"A{n}"))) * h + step * getattr(x, f"B{n}") * u
        y = y + getattr(x, f"C{n}") * h
        new.append(h)
    return y, *new
