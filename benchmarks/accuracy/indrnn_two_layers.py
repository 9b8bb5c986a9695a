"""Two layers of IndRNN as one cell, each with a start of its own, the recurrent weights of the second bounded.

One layer adds up what it is fed, weighted: it cannot leave out the numbers without a mark. The first layer here forgets
at once or soon and picks; the second starts as an integrator over 1000 steps, with small weights, and its recurrent
weights stay below 2^(1/1000), as the paper asks for (there by clipping, here by a tanh).

Li et al. 2018, arXiv:1803.04831, sections 4.1 and 5.1.
"""

from rnnbench.lang import cell, relu


@cell(
    states="y h",
    structures={"p.v": "bounded(1.0007)"},
    init={"p.u": "uniform(0, 1)", "p.v": "uniform(2, 4)", "R.y": "normal(0.002)"},
)
def indrnn_two_layers(x, R, b, p, y, h):
    h = relu(x.h + p.u * h + b.h)
    y = relu(R.y(h) + p.v * y + b.y)
    return y, h
