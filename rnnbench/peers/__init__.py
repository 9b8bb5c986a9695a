"""Peer libraries: the same weights in, the same numbers out. One adapter per file; ``contender.py`` of measure has the
protocol. A file whose name begins with an underscore is shared by adapters."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from rnnbench.errors import unknown


@dataclass(frozen=True)
class Workload:
    """What a contender is asked to compute.

    ``cell`` is a name or "file.py:cell"; ``params`` as in ``Layer.params``; ``sizes`` is ``(T, B, I, H)``; ``dtype``
    is "float32" or "float64"; ``threads`` is the number of threads of every pool; ``training`` tells forward and
    backward from inference.
    """

    cell: str
    params: Mapping[str, np.ndarray]
    sizes: tuple[int, int, int, int]
    dtype: str
    threads: int
    training: bool


def peers() -> dict[str, str | None]:
    """Return every peer with None, or with the reason why it cannot be used here and how to mend that."""
    return {name: module.unavailable_reason() for name, module in _adapters().items()}


def get_peer(name: str) -> ModuleType:
    """Return the adapter of a peer, installed or not; an unknown name is an RnnbenchError with the nearest ones."""
    adapters = _adapters()
    if name not in adapters:
        raise unknown("contender", name, [*adapters, "rnnbench.cpu", "rnnbench.reference"])
    return adapters[name]


def _adapters() -> dict[str, ModuleType]:
    files = [found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{file}") for file in files]
    return {module.NAME: module for module in modules}
