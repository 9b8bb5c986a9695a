"""Simple recurrent unit: a forget gate and a highway gate, each seeing only its own unit's past cell state.

The output h never feeds back. The highway carries the input through a projection of its own, skip, which also
stands for the paper's scaling factor alpha.

Popular code: without a projection where input and output sizes agree; the input is then scaled by alpha = sqrt(3).
The paper's first version has no weights from c into the gates.

Lei, Zhang, Wang, Dai and Artzi 2018, arXiv:1709.02755, equations 1 to 4; initialisation as in the authors' code.
"""

from rnnbench.lang import cell, sigmoid


@cell(
    states="h c",
    init={
        "p": "uniform(-1.2247449, 1.2247449)",
        "W.c": "lecun_uniform",
        "W.f": "lecun_uniform(0.70710678)",
        "W.r": "lecun_uniform(0.70710678)",
        "W.skip": "lecun_uniform(1.7320508)",
    },
)
def sru(x, b, p, c):
    f = sigmoid(x.f + p.f * c + b.f)
    r = sigmoid(x.r + p.r * c + b.r)
    c = f * c + (1 - f) * x.c
    return r * c + (1 - r) * x.skip, c
