"""Cell found by neural architecture search: a binary tree over eight combinations of input and state, no biases.

Popular code: the paper gives the cell as a figure alone, so this follows TensorFlow's NASCell, whose optional biases
(off by default) join the recurrent products. torchrecurrent adds where x.d and R.d are multiplied, and has biases.

Zoph and Le 2017, arXiv:1611.01578, section 3.4 (how a tree makes a cell) and the figure of the cell in the appendix.
"""

from rnnbench.lang import cell, relu, sigmoid, tanh


@cell(states="h c")
def nas(x, R, h, c):
    u = tanh(sigmoid(x.a + R.a(h)) * relu(x.b + R.b(h)))
    v = tanh(sigmoid(x.c + R.c(h)) + relu(x.d * R.d(h)))
    w = tanh(tanh(x.e + R.e(h)) * sigmoid(x.f + R.f(h)))
    z = sigmoid(tanh(x.g + R.g(h)) + sigmoid(x.h + R.h(h)))
    c = tanh(u + c) * v
    return tanh(c * tanh(w + z)), c
