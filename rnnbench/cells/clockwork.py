"""Clockwork RNN: groups of units that move at steps 0, 1, 2, 4, ... apart; slower groups feed faster ones only.

The four groups have periods 1, 2, 4 and 8 and all move at the first step. The state ``t`` counts the steps.

Koutnik, Greff, Gomez and Schmidhuber 2014, arXiv:1402.3511, section 3.
"""

from rnnbench.lang import cell, floor, tanh, where


@cell(states="h t", structures={"R.h": "block_lower(4)", "p.period": "periods(4)"})
def clockwork(x, R, b, p, h, t):
    late = t - p.period * floor(t / p.period)
    return where(late >= 1, h, tanh(x.h + R.h(h) + b.h)), t + 1
