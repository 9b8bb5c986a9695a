"""torchrecurrent: its layers, loops over time in Python, that compute one of our cells; forward and training.

Its cells keep the blocks of several gates below each other, in an order of their own, in arrays that each cell names.
The table says which of our parameters each array holds; another cell is another row. The orders and equations are those
of the ``forward`` of the cells of torchrecurrent 0.2.5.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.cells import get_cell
from rnnbench.peers import Workload

NAME = "torchrecurrent"


@dataclass(frozen=True)
class _Layer:
    """A layer of torchrecurrent; ``arrays`` maps each of its cell's parameters to ours, in the order of its blocks."""

    kind: str
    arrays: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)


_CELLS = {
    "indrnn": _Layer("IndRNN", {"weight_ih": "W.h", "vector_u": "p.u", "bias_ih": "b.h"}, {"nonlinearity": "relu"}),
    "lstm_peephole": _Layer(
        "PeepholeLSTM",
        {
            "weight_ih": "W.i W.f W.g W.o",
            "weight_hh": "R.i R.f R.g R.o",
            "weight_ph": "p.i p.f p.o",
            "bias_ih": "b.i b.f b.g b.o",
        },
    ),
    "mgu": _Layer("MGU", {"weight_ih": "W.f W.n", "weight_hh": "R.f R.n", "bias_ih": "b.f b.n"}),
}
# What comes near one of our cells and is another.
_DIFFERENT = {
    "lstm": "its OriginalLSTM has no forget gate",
    "gru": "its LiGRU has no reset gate",
    "gru_reset_before": "its LiGRU has no reset gate",
    "lstm_cifg": "its PeepholeLSTM does not couple the input gate to the forget gate",
    "min_gru": "the gate of its LightRU reads the state",
}


def unavailable_reason() -> str | None:
    """Return why torchrecurrent cannot be used here, or None."""
    missing = [name for name in ("torchrecurrent", "torch") if importlib.util.find_spec(name) is None]
    if missing:
        return f'{" and ".join(missing)} not installed: pip install "rnnbench[peers]"'
    return None


def supports(cell: str, training: bool) -> str | None:
    """Return why torchrecurrent has no such cell, or None; what it has, it can also train."""
    if cell in _CELLS:
        return None
    get_cell(cell)
    reason = f"torchrecurrent has no layer that computes {cell}"
    return f"{reason}: {_DIFFERENT[cell]}" if cell in _DIFFERENT else reason


def prepare(work: Workload) -> "RecurrentLayer":
    """Return a layer with our weights; sets the number of torch's threads for the whole process."""
    import torch
    import torchrecurrent

    torch.set_num_threads(work.threads)
    _, _, I, H = work.sizes  # noqa: E741 - the legend's letters
    row = _CELLS[work.cell]
    layer = getattr(torchrecurrent, row.kind)(
        I,
        H,
        bias="bias_ih" in row.arrays,
        recurrent_bias="bias_hh" in row.arrays,  # one bias for each pre-activation, as in our equations
        dtype=getattr(torch, work.dtype),
        **row.options,
    )
    layer.train(work.training)
    prepared = RecurrentLayer(layer, row, work.training)
    prepared.set_params(work.params)
    return prepared


class RecurrentLayer:
    """A layer of torchrecurrent behind the protocol of contenders."""

    def __init__(self, layer: Any, row: _Layer, training: bool):
        self._layer, self._row, self._training = layer, row, training
        self._weights = dict(layer.cells[0].named_parameters())

    def _blocks(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return views of its arrays (weights or their gradients) under our names and in our layout."""
        blocks = {}
        for array, names in self._row.arrays.items():
            ours = names.split()
            for name, block in zip(ours, np.split(arrays[array], len(ours)), strict=True):
                blocks[name] = block.T
        return blocks

    def set_params(self, params: Mapping[str, np.ndarray]) -> None:
        """Copy our weights into the layer."""
        blocks = self._blocks({name: weight.detach().numpy() for name, weight in self._weights.items()})
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
        gradients = {name: weight.grad.numpy() for name, weight in self._weights.items()}
        return y.detach().numpy(), {**self._blocks(gradients), "x": inputs.grad.numpy()}

    def timed(self, x: np.ndarray, dy: np.ndarray) -> Callable[[], Any]:
        """Return the call that a user of torchrecurrent would write, on tensors that exist already."""
        import torch

        if self._training:
            return self._step(x, dy)
        layer, inputs = self._layer, torch.from_numpy(x)

        @torch.inference_mode()
        def call() -> Any:
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
