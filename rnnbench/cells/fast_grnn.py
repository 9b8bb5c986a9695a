"""FastRNN whose residual weight is a gate with the very matrices of the candidate: it adds two biases only.

The paper also makes both matrices products of low rank: ``Layer(..., structures={"W": "low_rank(16)", "R":
"low_rank(16)"})``.

Kusupati et al. 2018, arXiv:1901.02358, section 3.2.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(
    states="h",
    structures={"p.zeta": "shared", "p.nu": "shared"},
    init={"p.zeta": 1.0, "p.nu": -4.0},
)
def fast_grnn(x, R, b, p, h):
    a = x.h + R.h(h)
    z = sigmoid(a + b.z)
    n = tanh(a + b.n)
    return (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * n + z * h
