"""LSTM with nothing but the forget gate, whose input part is gated by 1 - sigmoid(s - beta).

The forget gate's bias starts at 1. The paper draws it from log U(1, T - 1) for a longest dependency T (chrono
initialisation), which has to be known.

Popular code: torchrecurrent learns beta and carries h and c, equal after every step, as two states.

Van der Westhuizen and Lasenby 2018, arXiv:1804.04849.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"b.f": 1.0})
def janet(x, R, b, h, beta=1.0):
    s = x.f + R.f(h) + b.f
    c = tanh(x.c + R.c(h) + b.c)
    return sigmoid(s) * h + (1 - sigmoid(s - beta)) * c
