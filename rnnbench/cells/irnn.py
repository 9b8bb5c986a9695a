"""Rectified linear recurrent network whose recurrent matrix starts as the identity and whose biases start at zero.

Le, Jaitly and Hinton 2015, arXiv:1504.00941, section 2.
"""

from rnnbench.lang import cell, relu


@cell(states="h", init={"R": "identity", "b": 0.0, "W": "normal(0.001)"})
def irnn(x, R, b, h):
    return relu(x.h + R.h(h) + b.h)
