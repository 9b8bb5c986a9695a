"""Peer libraries: the same weights in, the same numbers out. One adapter per file; ``contender.py`` of measure has the
protocol."""

import importlib
import pkgutil
from types import ModuleType

from rnnbench.errors import unknown


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
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {module.NAME: module for module in modules}
