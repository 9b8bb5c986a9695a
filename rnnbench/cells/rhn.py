"""Recurrent highway network: each step passes the state through ``depth`` highway layers, the first with the input.

Carry and transform gate are coupled, c = 1 - t, as in the paper's experiments. The transform gates' biases start at
-2, the authors' value for Penn Treebank, in the first ten layers, the deepest that they tried.

Popular code: torchrecurrent has weights for an uncoupled carry gate too, unused by default.

Zilly, Srivastava, Koutnik and Schmidhuber 2017, arXiv:1607.03474; coupling: section 5.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={f"b.t{k}": -2.0 for k in range(1, 11)})
def rhn(x, R, b, h, depth=2):
    to_n, to_t = x.n1, x.t1
    for k in range(1, int(depth) + 1):
        n = tanh(to_n + getattr(R, f"n{k}")(h) + getattr(b, f"n{k}"))
        t = sigmoid(to_t + getattr(R, f"t{k}")(h) + getattr(b, f"t{k}"))
        h = n * t + h * (1 - t)
        to_n = to_t = 0  # the input enters the first layer only
    return h
