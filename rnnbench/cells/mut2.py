"""Second of three relatives of the GRU found by search: the reset gate sees the input itself.

The paper adds x itself to the reset gate, which needs as many inputs as units; here x has a projection of its own
there, and the equations are those of a GRU with its reset gate before the product.

Popular code: Keras' JZS2 projects by a fixed random matrix where the sizes differ; torchrecurrent's MUT2 learns the
projection, as here.

Jozefowicz, Zaremba and Sutskever 2015, An empirical exploration of recurrent network architectures, PMLR 37, MUT2.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def mut2(x, R, b, h):
    z = sigmoid(x.z + R.z(h) + b.z)
    r = sigmoid(x.r + R.r(h) + b.r)
    n = tanh(R.n(r * h) + x.n + b.n)
    return z * n + (1 - z) * h
