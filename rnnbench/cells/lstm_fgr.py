"""Peephole LSTM with full gate recurrence: nine more matrices let each gate see all three gates of the step before.

The gates are states. R.f_i leads from the forget gate to the input gate.

Greff et al. 2015, arXiv:1503.04069, variant FGR of the vanilla LSTM of section II.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c i f o", init={"b.f": 1.0})
def lstm_fgr(x, R, b, p, h, c, i, f, o):
    to_i = x.i + R.i(h) + R.i_i(i) + R.f_i(f) + R.o_i(o) + b.i
    to_f = x.f + R.f(h) + R.i_f(i) + R.f_f(f) + R.o_f(o) + b.f
    to_o = x.o + R.o(h) + R.i_o(i) + R.f_o(f) + R.o_o(o) + b.o
    i = sigmoid(to_i + p.i * c)
    f = sigmoid(to_f + p.f * c)
    g = tanh(x.g + R.g(h) + b.g)
    c = f * c + i * g
    o = sigmoid(to_o + p.o * c)
    return o * tanh(c), c, i, f, o
