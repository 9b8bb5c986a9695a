"""Light recurrent unit: one gate, which alone sees the state, averages it with a candidate made from the input.

This is the unit with a tanh candidate; the paper's stack recurrent cell, which changes that activation, is left out.

Ye, Zhang, Liu, Li, Chang and Zheng 2024, Electronics 13(16), 3204, doi:10.3390/electronics13163204.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def light_ru(x, R, b, h):
    f = sigmoid(x.f + R.f(h) + b.f)
    n = tanh(x.n + b.n)
    return (1 - f) * h + f * n
