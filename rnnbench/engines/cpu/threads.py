"""The engine's threads: how many, in which pool, and that only one call uses the pool at a time."""

import importlib
import os
import threading
from functools import cache
from types import ModuleType

import numpy as np

# Numba's pools in the order in which this engine takes them. OpenMP's waits actively for the next phase, which suits
# phases of a few hundred microseconds; workqueue is always there.
LAYERS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}

# workqueue aborts the process when two Python threads enter it at once, so calls take turns.
_POOL = threading.Lock()


def available_threads() -> int:
    """Return how many threads the engine may use: the cores this process may run on, or NUMBA_NUM_THREADS."""
    chosen = os.environ.get("NUMBA_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def threading_layer() -> str:
    """Return the name of the pool, and have Numba use it: NUMBA_THREADING_LAYER if set, else the first there is."""
    from numba import config

    if "NUMBA_THREADING_LAYER" in os.environ:
        return os.environ["NUMBA_THREADING_LAYER"]
    for name, module in LAYERS.items():
        try:
            importlib.import_module(f"numba.np.ufunc.{module}")
        except ImportError:  # this pool's library is not installed here
            continue
        config.THREADING_LAYER = name  # pyright: ignore[reportAttributeAccessIssue]
        return name
    raise AssertionError("numba ships workqueue on every platform")


def launch(launcher: ModuleType, phases: np.ndarray, plan: int, threads: int) -> None:
    """Run the phases of the plan at address ``plan``, in the caller's thread or on the pool."""
    if threads == 1:
        launcher.serial(phases, plan)
        return
    import numba

    threading_layer()
    with _POOL:
        previous = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            launcher.parallel(phases, plan, threads)
        finally:
            numba.set_num_threads(previous)
