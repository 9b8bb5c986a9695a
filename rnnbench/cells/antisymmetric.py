"""Antisymmetric RNN: an Euler step of size epsilon of a differential equation whose matrix is antisymmetric but for a
diffusion gamma, so that its Jacobian neither grows nor shrinks.

Chang, Chen, Haber and Chi 2019, arXiv:1902.09689, equation 12.
"""

from rnnbench.lang import cell, tanh


@cell(states="h", structures={"R.h": "antisymmetric"})
def antisymmetric(x, R, b, h, epsilon=0.1, gamma=0.01):
    return h + epsilon * tanh(x.h + R.h(h) - gamma * h + b.h)
