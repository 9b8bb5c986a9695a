"""Seconds of one call: inference, and one training step (forward and backward, gradient of the input included)."""

from .grid import CELLS, SHAPES
from .layers import PreparedKernels, agreeing_layer


class Speed(PreparedKernels):
    params = [CELLS, SHAPES]
    param_names = ["cell", "TxBxIxH"]
    repeat = (3, 10, 1.0)
    sample_time = 0.02


class Forward(Speed):
    def setup(self, cell, shape):
        self.layer, self.x, _ = agreeing_layer(cell, shape, training=False)

    def time_forward(self, cell, shape):
        self.layer.forward(self.x)


class Training(Speed):
    def setup(self, cell, shape):
        self.layer, self.x, self.dy = agreeing_layer(cell, shape, training=True)

    def time_training(self, cell, shape):
        self.layer.forward(self.x, training=True)
        self.layer.backward(self.dy)
