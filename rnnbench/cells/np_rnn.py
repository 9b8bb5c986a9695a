"""Rectified linear recurrent network whose recurrent matrix starts positive definite, with largest eigenvalue 1.

Every direction but one decays at the start. Biases start at zero.

Popular code: implementations disagree on the deviation of the input weights, a / I, a / H or a / sqrt(H), with
a = sqrt(2) exp(1.2 / (max(N, 6) - 2.4)), N being I or H; here they start as in every other cell.

Talathi and Vartak 2015, arXiv:1511.03771.
"""

from rnnbench.lang import cell, relu


@cell(states="h", init={"R": "positive_definite", "b": 0.0})
def np_rnn(x, R, b, h):
    return relu(x.h + R.h(h) + b.h)
