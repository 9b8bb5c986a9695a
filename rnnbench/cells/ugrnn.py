"""Update gate RNN: a simple recurrent network with one gate that chooses between the old state and the new one.

Popular code: TensorFlow's UGRNNCell adds 1 to the gate's pre-activation at all times; here the gate's bias starts
at 1.

Collins, Sohl-Dickstein and Sussillo 2017, arXiv:1611.09913.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h", init={"b.g": 1.0})
def ugrnn(x, R, b, h):
    g = sigmoid(x.g + R.g(h) + b.g)
    c = tanh(x.c + R.c(h) + b.c)
    return g * h + (1 - g) * c
