"""First of three relatives of the GRU found by search: the update gate sees the input alone, the candidate tanh(x).

The paper adds tanh(x) itself to the candidate, which needs as many inputs as units; here x has a projection of its
own there.

Popular code: Keras' JZS1 projects by a fixed random matrix where the sizes differ; torchrecurrent's MUT1 learns the
projection and adds a bias inside the inner tanh.

Jozefowicz, Zaremba and Sutskever 2015, An empirical exploration of recurrent network architectures, PMLR 37, MUT1.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def mut1(x, R, b, h):
    z = sigmoid(x.z + b.z)
    r = sigmoid(x.r + R.r(h) + b.r)
    n = tanh(R.n(r * h) + tanh(x.skip) + b.n)
    return z * n + (1 - z) * h
