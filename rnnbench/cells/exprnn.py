"""RNN whose recurrent matrix is a rotation, the exponential of an antisymmetric matrix, with the modReLU activation.

Lezcano-Casado and Martinez-Rubio 2019, arXiv:1901.08428, sections 3 and 4; modReLU: Arjovsky, Shah and Bengio 2016,
arXiv:1511.06464, equation 8.
"""

from rnnbench.lang import absolute, cell, relu, where


@cell(states="h", structures={"R.h": "orthogonal_exp"}, init={"b.h": "uniform(-0.01, 0.01)"})
def exprnn(x, R, b, h):
    a = x.h + R.h(h)
    size = relu(absolute(a) + b.h)
    return where(a >= 0, size, -size)
