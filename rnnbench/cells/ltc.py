"""Liquid time constant: a leaky unit whose time constant the input and the state change through a gate f.

The ODE dh/dt = -(1/tau + f) h + f a runs one unit of time per input, by the paper's fused solver in ``unfolds`` equal
sub-steps. The paper leaves f's activation open: the sigmoid here is what its bounds on the time constant and the
state rest on. 1/tau = softplus(leak) stays positive and starts at 1.

Popular code: the authors' experiments have a conductance w, a reversal potential and a sigmoid of its own for every
pair of units. That synaptic model is no matrix product of the state and cannot be written here.

Hasani, Lechner, Amini, Rus and Grosu 2021, arXiv:2006.04439, equations 1 and 3, algorithm 1; start of leak and a as
in the authors' code.
"""

from rnnbench.lang import cell, sigmoid, softplus


@cell(states="h", init={"p.leak": 0.5413248546129181, "p.a": "uniform(-1, 1)"})
def ltc(x, R, b, p, h, unfolds=6):
    dt = 1 / unfolds
    leak = softplus(p.leak)
    drive = x.f + b.f
    for _ in range(int(unfolds)):
        f = sigmoid(drive + R.f(h))
        h = (h + dt * f * p.a) / (1 + dt * (leak + f))
    return h
