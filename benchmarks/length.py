"""What length costs: seconds of a step from T = 100 to T = 100,000, and the memory of training with checkpoints.

    python -m benchmarks.length

prints two tables. The first: time per step relative to T = 100, LSTM with B = 4, I = 8, H = 64 on one thread, medians
of paired samples that take turns. The second: an LSTM of T = 100,000, B = 32, I = 2, H = 128 with a readout at the last
step, trained with ``checkpoint=316``, in a process of its own: how far its memory grows, and its time per step relative
to training without checkpoints at T = 1,000.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnbench import Layer
from rnnbench.measure.process import Worker

LENGTHS = (100, 1_000, 10_000, 100_000)
CHECKPOINT = 316


def _sequence(T: int, B: int, I: int) -> np.ndarray:  # noqa: E741 - the legend's letters
    return np.random.default_rng(0).standard_normal((T, B, I)).astype("float32")


def _seconds(call: Callable[[], object], least: float = 0.1) -> float:
    """Return the seconds of one call, after another, repeated for a while."""
    call()
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < least or not calls:
        call()
        calls += 1
    return (time.perf_counter() - begun) / calls


def _peak() -> int:
    """Return the most bytes that this process has had in memory; not its parent's, as getrusage would (Linux)."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _training(layer: Layer, x: np.ndarray) -> Callable[[], object]:
    dy = np.ones((x.shape[1], layer.hidden_size), "float32")

    def step() -> None:
        layer.forward(x, training=True, outputs="last")
        layer.backward(dy)

    return step


def by_length() -> None:
    """Print the first table."""
    calls: dict[tuple[str, int], Callable[[], object]] = {}
    for T in LENGTHS:
        x = _sequence(T, 4, 8)
        frozen = Layer("lstm", 8, 64, threads=1)
        frozen.freeze()
        calls["inference", T] = lambda layer=frozen, x=x: layer.forward(x, outputs="last")
        calls["training", T] = _training(Layer("lstm", 8, 64, threads=1), x)
    steps: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for _ in range(5):
        for key, call in calls.items():
            steps[key].append(_seconds(call) / key[1])
    print("| | " + " | ".join(f"T = {T:,}" for T in LENGTHS) + " |")
    print("| --- |" + " ---: |" * len(LENGTHS))
    for mode in ("inference", "training"):
        first = steps[mode, LENGTHS[0]]
        ratios = [statistics.median(a / b for a, b in zip(steps[mode, T], first, strict=True)) for T in LENGTHS]
        print(f"| {mode} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


class Long:
    """Training with checkpoints, in a process of its own."""

    def grow(self) -> int:
        """Train on the long sequence and return by how many bytes the peak of the process's memory rose."""
        small = Layer("lstm", 2, 128, checkpoint=CHECKPOINT)
        _training(small, _sequence(2 * CHECKPOINT, 32, 2))()
        before = _peak()
        self.x = _sequence(LENGTHS[-1], 32, 2)
        self.layer = Layer("lstm", 2, 128, checkpoint=CHECKPOINT)
        _training(self.layer, self.x)()
        return _peak() - before

    def ratios(self) -> list[float]:
        """Return the time per step relative to training without checkpoints at T = 1,000, three times."""
        short = _sequence(1_000, 32, 2)
        whole = _training(Layer("lstm", 2, 128), short)
        parted = _training(self.layer, self.x)
        return [_seconds(parted, 0.0) / len(self.x) / (_seconds(whole, 1.0) / len(short)) for _ in range(3)]


def with_checkpoints() -> None:
    """Print the second table."""
    with Worker("checkpoints", "benchmarks.length:Long", threads=2) as worker:
        growth, ratios = worker.ask("grow"), worker.ask("ratios")
    print("| T = 100,000, B = 32, I = 2, H = 128, checkpoint = 316 | |")
    print("| --- | ---: |")
    print(f"| growth of the process, MiB | {growth / (1 << 20):.0f} |")
    print(f"| time per step, relative to no checkpoints at T = 1,000 | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    by_length()
    print()
    with_checkpoints()
