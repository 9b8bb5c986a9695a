"""rnnbench: which recurrent cell should I use, at my length and size, on my machine?

The names below are the public API. They are imported on first use, so that ``import rnnbench`` is quick and probes no
device.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Bidirectional": "nn.bidirectional",
    "Layer": "nn.layer",
    "Model": "nn.model",
    "Result": "trials",
    "RnnbenchError": "errors",
    "Stack": "nn.stack",
    "Trial": "trials",
    "cell": "lang",
    "cells": "cells",
    "engines": "engines",
    "get_cell": "cells",
    "get_task": "tasks",
    "load_cell": "cells",
    "run_trial": "trials",
    "tasks": "tasks",
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnbench' has no attribute {name!r}")
    home = importlib.import_module(f"rnnbench.{_HOMES[name]}")
    return home if name == _HOMES[name] else getattr(home, name)  # a room that is called (see rooms.py), or a name in one


def __dir__() -> list[str]:
    return sorted(__all__)
