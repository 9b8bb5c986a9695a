"""What all tests share: layers are made once for each cell, engine, dtype and size."""

import os
import signal
from collections.abc import Callable

import problems
import pytest

from rnnbench import Layer

# So that a failing assert in them shows its numbers.
pytest.register_assert_rewrite("tolerances")

# Processes that run tests side by side share the cores; two threads each are enough to test what threads do.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("NUMBA_NUM_THREADS", "2")

# A background job is told to ignore Ctrl-C, and hands that down; tests interrupt processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LayerOf = Callable[..., Layer]


@pytest.fixture(scope="session")
def _layers() -> dict[tuple, Layer]:
    return {}


@pytest.fixture
def layer_of(_layers: dict[tuple, Layer]) -> LayerOf:
    """Return a function (cell, engine, dtype, I, H, threads=1) -> its one layer, weights drawn anew."""

    def make(cell: str, engine: str, dtype: str, input_size: int, hidden_size: int, threads: int = 1) -> Layer:
        if threads > len(os.sched_getaffinity(0)):
            pytest.skip(f"{threads} threads need as many cores")
        key = (cell, engine, dtype, input_size, hidden_size, threads)
        if key not in _layers:
            _layers[key] = Layer(cell, input_size, hidden_size, engine=engine, dtype=dtype, threads=threads)
        layer = _layers[key]
        layer.thaw()
        problems.draw(layer)
        return layer

    return make


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked slow, unless -m says which marks to run."""
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
