"""Closed-form continuous-time network, the gated variant at a time step of one: a gate sigmoid(-f) between g and h.

f, g and the third network (k here) are linear heads, two of them with a tanh, on one shared tanh layer of H units.

Popular code: the authors' gate is sigmoid(-f t + f') with a second head f', ncps's sigmoid(f t + f'); both use
1.7159 tanh(0.666 a) in the shared layers, whose number and width are free, the authors' in the heads too.

Hasani, Lechner, Amini et al. 2022, Nature Machine Intelligence 4, doi:10.1038/s42256-022-00556-7,
arXiv:2106.13898, equation 10.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"R": "glorot_uniform"})
def cfc(x, R, b, h):
    s = tanh(x.s + R.s(h) + b.s)
    f = R.f(s) + b.f
    g = tanh(R.g(s) + b.g)
    k = tanh(R.k(s) + b.k)
    gate = sigmoid(-f)
    return gate * g + (1 - gate) * k
