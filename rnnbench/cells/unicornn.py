"""Undamped independent oscillators: a symplectic Euler step of a Hamiltonian system, one oscillator per unit.

Every unit has its own time step, dt sigmoid(c), and sees only itself, through w. The paper tunes dt and alpha per
task; the defaults are those of the authors' noise-padded CIFAR-10, of 1000 steps.

Rusch and Mishra 2021, arXiv:2103.05487, section 2; initialisation as in the authors' code.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="y z", init={"W": "lecun_uniform(0.17541160)", "p.w": "uniform(0, 1)", "p.c": "uniform(-0.1, 0.1)"})
def unicornn(x, b, p, y, z, dt=0.126, alpha=13.0):
    step = dt * sigmoid(p.c)
    z = z - step * (tanh(x.z + p.w * y + b.z) + alpha * y)
    y = y + step * z
    return y, z
