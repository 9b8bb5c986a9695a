"""Light GRU (Li-GRU): no reset gate, and a rectified linear candidate.

The paper normalises the input projections over the batch; here a bias takes the place of that normalisation's shift.

Popular code: SpeechBrain keeps the batch normalisation and has no other bias.

Ravanelli, Brakel, Omologo and Bengio 2018, arXiv:1803.10225.
"""

from rnnbench.lang import cell, relu, sigmoid


@cell(states="h")
def gru_light(x, R, b, h):
    z = sigmoid(x.z + R.z(h) + b.z)
    n = relu(x.n + R.n(h) + b.n)
    return z * h + (1 - z) * n
