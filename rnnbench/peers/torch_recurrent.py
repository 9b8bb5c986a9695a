"""torchrecurrent: its layers, loops over time in Python, that compute one of our cells; forward and training.

Its cells keep the blocks of several gates below each other, in an order of their own, in arrays that each cell names.
The table says which of our parameters each array holds; another cell is another row. The orders and equations are those
of the ``forward`` of the cells of torchrecurrent 0.2.5.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.cells import get_cell
from rnnbench.peers import Workload
from rnnbench.peers._torch import TorchLayer

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


def prepare(work: Workload) -> TorchLayer:
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
    weights = dict(layer.cells[0].named_parameters())
    return TorchLayer(layer, weights, lambda arrays: _blocks(arrays, row), work.params, work.training)


def _blocks(arrays: Mapping[str, np.ndarray], row: _Layer) -> dict[str, np.ndarray]:
    """Return views of its arrays (weights or their gradients) under our names and in our layout."""
    blocks = {}
    for array, names in row.arrays.items():
        ours = names.split()
        for name, block in zip(ours, np.split(arrays[array], len(ours)), strict=True):
            blocks[name] = block.T
    return blocks
