"""Structurally constrained recurrent network: context units that change slowly feed a simple recurrent network.

The context s is an exponential average of the projected input with a fixed rate alpha, the same for all units. There
are as many context units as hidden ones, and only the hidden ones are the output; the paper reads out both.

Popular code: the authors' code feeds the hidden units the context of the step before, the paper that of this step.
torchrecurrent learns alpha, starts it at 0.5, adds biases, and feeds back tanh of the readout instead of h.

Mikolov, Joulin, Chopra, Mathieu and Ranzato 2015, arXiv:1412.7753.
"""

from rnnbench.lang import cell, sigmoid


@cell(states="h s")
def scrn(x, R, h, s, alpha=0.95):
    s = (1 - alpha) * x.s + alpha * s
    h = sigmoid(R.s(s) + x.h + R.h(h))
    return h, s
