"""Simple recurrent network with a rectified linear activation.

Elman 1990, Cognitive Science 14(2), doi:10.1207/s15516709cog1402_1; the activation as in Le et al. 2015,
arXiv:1504.00941, without its initialisation (that is irnn).
"""

from rnnbench.lang import cell, relu


@cell(states="h")
def elman_relu(x, R, b, h):
    return relu(x.h + R.h(h) + b.h)
