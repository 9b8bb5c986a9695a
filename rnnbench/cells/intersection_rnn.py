"""Intersection RNN (+RNN): one gate couples time steps, another couples layers, so the output is not the state.

The output keeps a part of the input itself, which needs as many inputs as units; here x has a projection of its own
there.

Popular code: TensorFlow's IntersectionRNNCell projects the input first, then computes everything from the projection,
and adds 1 to both gates' pre-activations at all times; here their biases start at 1. torchrecurrent refuses an input
of another size.

Collins, Sohl-Dickstein and Sussillo 2017, arXiv:1611.09913.
"""

from rnnbench.lang import cell, relu, sigmoid, tanh


@cell(states="y h", init={"b.gy": 1.0, "b.gh": 1.0})
def intersection_rnn(x, R, b, h):
    gy = sigmoid(x.gy + R.gy(h) + b.gy)
    gh = sigmoid(x.gh + R.gh(h) + b.gh)
    y = gy * x.skip + (1 - gy) * relu(x.y + R.y(h) + b.y)
    h = gh * h + (1 - gh) * tanh(x.h + R.h(h) + b.h)
    return y, h
