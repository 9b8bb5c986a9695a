"""Stackable recurrent unit: one gate mixes the state with a candidate made from the input alone; tanh bounds the sum.

Turkoglu, D'Aronco, Wegner and Schindler 2019, arXiv:1911.11033.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h")
def star(x, R, b, h):
    k = sigmoid(x.k + R.k(h) + b.k)
    z = tanh(x.z + b.z)
    return tanh((1 - k) * h + k * z)
