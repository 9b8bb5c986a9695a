"""rnnbench: which recurrent cell should I use, at my length and size, on my machine?

The names below are the public API. They are imported on first use, so that ``import rnnbench`` is quick and probes no
device.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers see; at run time __getattr__ imports each name on first use
    from rnnbench.cells import cells, get_cell, load_cell
    from rnnbench.compare import compare
    from rnnbench.engines import engines
    from rnnbench.errors import RnnbenchError
    from rnnbench.lang import cell
    from rnnbench.nn.bidirectional import Bidirectional
    from rnnbench.nn.layer import Layer
    from rnnbench.nn.model import Model
    from rnnbench.nn.onnx_reader import from_onnx
    from rnnbench.nn.onnx_weights import to_onnx
    from rnnbench.nn.stack import Stack
    from rnnbench.nn.torch_weights import from_torch
    from rnnbench.tasks import get_task, tasks
    from rnnbench.trials import Result, Trial, run_trial

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
    "compare": "compare",
    "engines": "engines",
    "from_onnx": "nn.onnx_reader",
    "from_torch": "nn.torch_weights",
    "get_cell": "cells",
    "get_task": "tasks",
    "load_cell": "cells",
    "run_trial": "trials",
    "tasks": "tasks",
    "to_onnx": "nn.onnx_weights",
}

__all__ = [
    "Bidirectional", "Layer", "Model", "Result", "RnnbenchError", "Stack", "Trial", "__version__", "cell", "cells",
    "compare", "engines", "from_onnx", "from_torch", "get_cell", "get_task", "load_cell", "run_trial", "tasks",
    "to_onnx",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnbench' has no attribute {name!r}")
    home = importlib.import_module(f"rnnbench.{_HOMES[name]}")
    # A room that can be called (see rooms.py), or a name in one.
    return home if name == _HOMES[name] else getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
