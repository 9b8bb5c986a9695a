"""torch.nn: RNN (tanh, ReLU), LSTM and GRU on the CPU, forward and training.

torch keeps the gates of a layer below each other in ``weight_ih_l0 [G*H, I]`` and ``weight_hh_l0 [G*H, H]``, and two
biases for each gate. Ours go into ``bias_ih_l0`` and zeros into ``bias_hh_l0``, except the bias inside GRU's reset
product. The order of the gates is that of the documentation of torch.nn.LSTM and torch.nn.GRU.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnbench.peers import Workload

NAME = "torch"
# cell -> (class in torch.nn, its options, our gates in torch's order, gates whose second bias is ours: ours by gate)
_CELLS: dict[str, tuple[str, dict[str, Any], str, dict[str, str]]] = {
    "elman_tanh": ("RNN", {"nonlinearity": "tanh"}, "h", {}),
    "elman_relu": ("RNN", {"nonlinearity": "relu"}, "h", {}),
    "irnn": ("RNN", {"nonlinearity": "relu"}, "h", {}),
    "lstm": ("LSTM", {}, "ifgo", {}),
    "gru": ("GRU", {}, "rzn", {"n": "b.rn"}),
}


def unavailable_reason() -> str | None:
    """Return why torch cannot be used here, or None."""
    if importlib.util.find_spec("torch") is None:
        return 'torch is not installed: pip install "rnnbench[peers]"; its own build for CPUs only is much smaller'
    return None


def supports(cell: str, training: bool) -> str | None:
    """Return why torch.nn has no such cell, or None; what it has, it can also train."""
    return None if cell in _CELLS else f"torch.nn has no layer that computes {cell}"


def prepare(work: Workload) -> "TorchLayer":
    """Return a torch.nn layer with our weights; sets the number of torch's threads for the whole process."""
    import torch

    torch.set_num_threads(work.threads)
    _, _, I, H = work.sizes  # noqa: E741 - the legend's letters
    kind, options, _, _ = _CELLS[work.cell]
    layer = getattr(torch.nn, kind)(I, H, dtype=getattr(torch, work.dtype), **options)
    layer.train(work.training)
    prepared = TorchLayer(layer, work.cell, work.training)
    prepared.set_params(work.params)
    return prepared


class TorchLayer:
    """A torch.nn layer behind the protocol of contenders."""

    def __init__(self, layer: Any, cell: str, training: bool):
        self._layer, self._training = layer, training
        _, _, self._gates, self._second_biases = _CELLS[cell]

    def _blocks(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return views of torch's arrays (weights or their gradients) under our names and in our layout."""
        blocks = {}
        H = self._layer.hidden_size
        for index, gate in enumerate(self._gates):
            rows = slice(index * H, (index + 1) * H)
            blocks[f"W.{gate}"] = arrays["weight_ih_l0"][rows].T
            blocks[f"R.{gate}"] = arrays["weight_hh_l0"][rows].T
            blocks[f"b.{gate}"] = arrays["bias_ih_l0"][rows]
            if gate in self._second_biases:
                blocks[self._second_biases[gate]] = arrays["bias_hh_l0"][rows]
        return blocks

    def set_params(self, params: Mapping[str, np.ndarray]) -> None:
        """Copy our weights into the layer; every other number in it is zero."""
        arrays = {name: weight.detach().numpy() for name, weight in self._layer.named_parameters()}
        for array in arrays.values():
            array[...] = 0
        blocks = self._blocks(arrays)
        for name, array in params.items():
            blocks[name][...] = array

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``y [T, B, H]``."""
        import torch

        with torch.inference_mode():
            return self._layer(torch.from_numpy(x))[0].numpy()

    def training(self, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return ``y`` and the gradients of ``sum(y * dy)`` by our names, ``"x"`` included."""
        inputs, y = self._step(x, dy)()
        gradients = {name: weight.grad.numpy() for name, weight in self._layer.named_parameters()}
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
