"""One trial = (cell, task, sizes, engine, seed, budget) -> result; grids of them, processes, and the results store."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.trials.executors import Event, Interrupted, Summary, run_all
    from rnnbench.trials.models import build_model
    from rnnbench.trials.result import Result
    from rnnbench.trials.run import run_trial
    from rnnbench.trials.store import SCHEMA, Store
    from rnnbench.trials.sweep import Sweep
    from rnnbench.trials.trial import Trial

__all__ = [
    "SCHEMA",
    "Event",
    "Interrupted",
    "Result",
    "Store",
    "Summary",
    "Sweep",
    "Trial",
    "build_model",
    "run_all",
    "run_trial",
]

_HOMES = {
    "SCHEMA": "store",
    "Event": "executors",
    "Interrupted": "executors",
    "Result": "result",
    "Store": "store",
    "Summary": "executors",
    "Sweep": "sweep",
    "Trial": "trial",
    "build_model": "models",
    "run_all": "executors",
    "run_trial": "run",
}


def __getattr__(name: str) -> Any:
    # Looked up on first use: the store must be readable without pydantic, and pydantic takes a while to import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
