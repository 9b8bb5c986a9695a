"""torch.nn: RNN (tanh, ReLU), LSTM and GRU on the CPU, forward and training.

torch keeps the gates of a layer below each other in ``weight_ih_l0 [G*H, I]`` and ``weight_hh_l0 [G*H, H]``, and two
biases for each gate. Ours go into ``bias_ih_l0`` and zeros into ``bias_hh_l0``, except the bias inside GRU's reset
product. The order of the gates is that of the documentation of torch.nn.LSTM and torch.nn.GRU.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnbench.peers import Workload
from rnnbench.peers._torch import TorchLayer

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


def prepare(work: Workload) -> TorchLayer:
    """Return a torch.nn layer with our weights; sets the number of torch's threads for the whole process."""
    import torch

    torch.set_num_threads(work.threads)
    _, _, I, H = work.sizes  # noqa: E741 - the legend's letters
    kind, options, _, _ = _CELLS[work.cell]
    layer = getattr(torch.nn, kind)(I, H, dtype=getattr(torch, work.dtype), **options)
    weights = dict(layer.named_parameters())
    return TorchLayer(layer, weights, lambda arrays: _blocks(arrays, work.cell, H), work.params, work.training)


def _blocks(arrays: Mapping[str, np.ndarray], cell: str, H: int) -> dict[str, np.ndarray]:
    """Return views of torch's arrays (weights or their gradients) under our names and in our layout."""
    _, _, gates, second_biases = _CELLS[cell]
    blocks = {}
    for index, gate in enumerate(gates):
        rows = slice(index * H, (index + 1) * H)
        blocks[f"W.{gate}"] = arrays["weight_ih_l0"][rows].T
        blocks[f"R.{gate}"] = arrays["weight_hh_l0"][rows].T
        blocks[f"b.{gate}"] = arrays["bias_ih_l0"][rows]
        if gate in second_biases:
            blocks[second_biases[gate]] = arrays["bias_hh_l0"][rows]
    return blocks
