"""Quasi-recurrent network: gates from a convolution over this input and the one before, then a linear recurrence.

Its filter is two steps wide, with fo-pooling. The projections of an input for the next step are states, zero at first,
which is the paper's padding.

Bradbury, Merity, Xiong and Socher 2016, arXiv:1611.01576, equations 1, 2 and 4.
"""

from rnnbench.lang import cell, sigmoid, tanh


@cell(states="h c z_late f_late o_late")
def qrnn(x, b, c, z_late, f_late, o_late):
    z = tanh(x.z + z_late + b.z)
    f = sigmoid(x.f + f_late + b.f)
    o = sigmoid(x.o + o_late + b.o)
    c = f * c + (1 - f) * z
    return o * c, c, x.z_late, x.f_late, x.o_late
