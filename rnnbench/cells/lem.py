"""Long expressive memory: two states with a learned time step each; y, the output, sees the new z.

Popular code: torchrecurrent gives y the old z.

Rusch, Mishra, Erichson and Mahoney 2022, arXiv:2110.04744, equation 3; initialisation as in the authors' code.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="y z", init={"W": "fan_uniform", "R": "fan_uniform", "b": "fan_uniform"})
def lem(x, R, b, y, z, dt=1.0):
    dt_z = dt * sigmoid(x.s + R.s(y) + b.s)
    dt_y = dt * sigmoid(x.t + R.t(y) + b.t)
    z = (1 - dt_z) * z + dt_z * tanh(x.z + R.z(y) + b.z)
    y = (1 - dt_y) * y + dt_y * tanh(x.y + R.y(z) + b.y)
    return y, z
