"""Real-gated linear recurrent unit of Griffin: a diagonal linear recurrence whose decay the input gates.

The decay a = sigmoid(lam)**(c r) is formed from its logarithm -s, and 1 - a**2 from tanh(s), which cancels nothing as
a nears 1. The layer's own input, of size H in the paper, is the projection v here. At the start sigmoid(lam)**8 is
uniform between 0.9 and 0.999.

Popular code: recurrentgemma holds -lam, as equation 6 of the paper does against its own a = sigmoid(lam), and starts
a itself, not a**c, between 0.9 and 0.999; its gates are block diagonal, and it clips the square root's gradient.

De, Smith, Fernando et al. 2024, arXiv:2402.19427, equations 1 to 4 and appendix A.
"""

from rnnbench.lang import cell, exp, sigmoid, softplus, sqrt, tanh


@cell(states="h", init={"p.lam": "logit_uniform(0.9, 0.999, 8)", "W.r": "lecun_normal", "W.i": "lecun_normal"})
def rg_lru(x, b, p, h, c=8.0):
    r = sigmoid(x.r + b.r)
    i = sigmoid(x.i + b.i)
    s = c * r * softplus(-p.lam)
    t = tanh(s)
    # 1 - exp(-2 s) = 2 t / (1 + t); the last term keeps the gradient finite where r is 0.
    return exp(-s) * h + sqrt(2 * t / (1 + t) + 1e-30) * (i * x.v)
