"""Coupled oscillatory network: every unit is a damped oscillator with position y and velocity z, driven through tanh.

The paper leaves the damping of z implicit or explicit; this is the explicit form. It tunes dt, gamma and epsilon per
task; the defaults of gamma and epsilon are those of the authors' example, that of dt is torchrecurrent's.

Popular code: the authors' is the explicit form too; torchrecurrent documents the implicit one and computes the
explicit one.

Rusch and Mishra 2021, arXiv:2010.00951, equation 3.
"""

from rnnbench.lang import cell, tanh


@cell(states="y z")
def cornn(x, R, b, y, z, dt=0.1, gamma=1.0, epsilon=1.0):
    z = z + dt * (tanh(x.z + R.y(y) + R.z(z) + b.z) - gamma * y - epsilon * z)
    y = y + dt * z
    return y, z
