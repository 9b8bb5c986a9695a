"""Neuromodulated bistable recurrent cell: as brc, with gates a and c that see the whole state.

It is a GRU whose candidate has no recurrent matrix and whose reset gate reaches to 2. Biases as in brc.

Popular code: torchrecurrent gives the candidate a bias.

Vecoven, Ernst and Drion 2021, PLoS ONE 16(6), doi:10.1371/journal.pone.0252676, arXiv:2006.05252.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"R": "glorot_uniform"})
def nbrc(x, R, b, h):
    a = 1 + tanh(x.a + R.a(h) + b.a)
    c = sigmoid(x.c + R.c(h) + b.c)
    return c * h + (1 - c) * tanh(x.n + a * h)
