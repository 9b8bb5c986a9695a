"""A layer of torch's kind, with weights of ours, behind the protocol of contenders."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


class TorchLayer:
    """A module that maps ``x [T, B, I]`` to ``(y [T, B, H], ...)``.

    ``weights`` are its parameters by their own names; ``blocks`` takes arrays by those names (weights or gradients) and
    returns views of them under our names and in our layout. Every number that is none of ``params`` is zero.
    """

    def __init__(
        self,
        layer: Any,
        weights: Mapping[str, Any],
        blocks: Callable[[Arrays], dict[str, np.ndarray]],
        params: Arrays,
        training: bool,
    ):
        self._layer, self._weights, self._blocks, self._training = layer, weights, blocks, training
        layer.train(training)
        arrays = {name: weight.detach().numpy() for name, weight in weights.items()}
        for array in arrays.values():
            array[...] = 0
        ours = blocks(arrays)
        for name, array in params.items():
            ours[name][...] = array

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``y [T, B, H]``."""
        import torch

        with torch.inference_mode():
            return self._layer(torch.from_numpy(x))[0].numpy()

    def training(self, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return ``y`` and the gradients of ``sum(y * dy)`` by our names, ``"x"`` included."""
        inputs, y = self._step(x, dy)()
        gradients = {name: weight.grad.numpy() for name, weight in self._weights.items()}
        return y.detach().numpy(), {**self._blocks(gradients), "x": inputs.grad.numpy()}

    def timed(self, x: np.ndarray, dy: np.ndarray) -> Callable[[], tuple[Any, Any]]:
        """Return the call that a user of torch would write, on tensors that exist already."""
        import torch

        if self._training:
            return self._step(x, dy)
        layer, inputs = self._layer, torch.from_numpy(x)

        @torch.inference_mode()
        def call() -> tuple[Any, Any]:
            return layer(inputs)

        return call

    def _step(self, x: np.ndarray, dy: np.ndarray) -> Callable[[], tuple[Any, Any]]:
        import torch

        layer, inputs, upstream = self._layer, torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)

        def step() -> tuple[Any, Any]:
            inputs.grad = None
            layer.zero_grad(set_to_none=True)
            y, _ = layer(inputs)
            y.backward(upstream)
            return inputs, y

        return step
