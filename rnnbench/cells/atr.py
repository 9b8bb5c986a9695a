"""Addition-subtraction twin-gated recurrent unit: both gates come from the same two products, by sum and difference.

Popular code: the authors' later code for natural language inference adds a bias to p and takes tanh of the new state.

Zhang, Xiong, Su, Lin and Zhang 2018, arXiv:1810.12546.
"""

from rnnbench.lang import cell, sigmoid


@cell(states="h")
def atr(x, R, h):
    p = x.p
    q = R.q(h)
    i = sigmoid(p + q)
    f = sigmoid(p - q)
    return i * p + f * h
