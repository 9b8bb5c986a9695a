"""Antisymmetric RNN with an input gate that shares the recurrent matrix, so that the Jacobian stays bounded.

Chang, Chen, Haber and Chi 2019, arXiv:1902.09689, equations 16 and 17.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", structures={"R.h": "antisymmetric"})
def antisymmetric_gated(x, R, b, h, epsilon=0.1, gamma=0.01):
    a = R.h(h) - gamma * h
    z = sigmoid(x.z + a + b.z)
    return h + epsilon * z * tanh(x.h + a + b.h)
