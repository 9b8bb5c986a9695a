"""The linear readout between hidden units and a task's outputs."""

import math

import numpy as np

from rnnbench.errors import RnnbenchError, positive
from rnnbench.nn.stack import Arrays


class Linear:
    """Map the last axis linearly: x [..., I] -> x W + b [..., O].

    ``input_size`` I, ``output_size`` O; ``dtype`` "float32" or "float64"; ``seed`` of the weights.
    ``params``: "W" [I, O], uniform within sqrt(6 / (I + O)) (Glorot & Bengio 2010, equation 16), and "b" [O], zero.
    A softmax readout is this one with ``softmax_cross_entropy``, which takes logits.
    """

    def __init__(self, input_size: int, output_size: int, dtype: str = "float32", seed: int = 0):
        self.input_size = positive("input_size", input_size)
        self.output_size = positive("output_size", output_size)
        if dtype not in ("float32", "float64"):
            raise RnnbenchError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        self.dtype = np.dtype(dtype)
        bound = math.sqrt(6 / (self.input_size + self.output_size))
        weights = np.random.default_rng(seed).uniform(-bound, bound, (self.input_size, self.output_size))
        self.params: Arrays = {"W": weights.astype(self.dtype), "b": np.zeros(self.output_size, self.dtype)}
        self._x: np.ndarray | None = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return x W + b, [..., O]; ``x`` [..., I] must stay as it is until ``backward``, which reads it."""
        if x.shape[-1] != self.input_size:
            raise RnnbenchError(f"x must end in {self.input_size} units, got shape {x.shape}")
        self._x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, doutput: np.ndarray) -> Arrays:
        """Return the gradients "W" [I, O], "b" [O] and "x" [..., I] of the last ``forward``.

        ``doutput`` [..., O]: the loss's gradient with respect to what ``forward`` returned.
        """
        if self._x is None:
            raise RnnbenchError("backward needs a forward before it")
        expected = (*self._x.shape[:-1], self.output_size)
        if doutput.shape != expected:
            raise RnnbenchError(f"doutput must have shape {expected}, got {doutput.shape}")
        flat = doutput.reshape(-1, self.output_size)
        return {
            "W": self._x.reshape(-1, self.input_size).T @ flat,
            "b": flat.sum(axis=0),
            "x": doutput @ self.params["W"].T,
        }
