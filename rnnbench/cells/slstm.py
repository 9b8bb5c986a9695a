"""LSTM with an exponential input gate: the normaliser n makes the output a weighted mean of block inputs, and the
stabiliser m, the largest log-weight so far, keeps the exponentials finite without changing the output.

The paper leaves a choice between a logistic and an exponential forget gate; this one is logistic. The paper's recurrent
matrices are block-diagonal, one block a head; these are dense. From a state of zeros b.i has no effect: it scales c
and n alike.

At the first step, where n is zero, m is the input gate's pre-activation, as in the authors' code: from m = 0 the
exponentials of a very small gate would vanish, and n with them.

Popular code: the authors' code also takes a logistic forget gate. It starts R at zero and b.f at a power law over the
units of a head.

Beck et al. 2024, arXiv:2405.04517, equations 8 to 17.
"""

from rnnbench.lang import cell, exp, maximum, sigmoid, softplus, tanh, where


@cell(states="h c n m")
def slstm(x, R, b, h, c, n, m):
    log_i = x.i + R.i(h) + b.i
    log_f = -softplus(-(x.f + R.f(h) + b.f))
    z = tanh(x.z + R.z(h) + b.z)
    o = sigmoid(x.o + R.o(h) + b.o)
    kept = log_f + m
    m = where(0 >= n, log_i, maximum(kept, log_i))
    i = exp(log_i - m)
    f = exp(kept - m)
    c = f * c + i * z
    n = f * n + i
    return o * (c / n), c, n, m
