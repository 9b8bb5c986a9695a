"""Third of three relatives of the GRU found by search: the update gate sees the state through a tanh.

Popular code: the equations printed with torchrecurrent's MUT3 are those of MUT2; its code is that of the paper.

Jozefowicz, Zaremba and Sutskever 2015, An empirical exploration of recurrent network architectures, PMLR 37, MUT3.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def mut3(x, R, b, h):
    z = sigmoid(x.z + R.z(tanh(h)) + b.z)
    r = sigmoid(x.r + R.r(h) + b.r)
    n = tanh(R.n(r * h) + x.n + b.n)
    return z * n + (1 - z) * h
