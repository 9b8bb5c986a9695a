"""What each technique of the CPU engine is worth: training steps with it and without it, in turns.

    python -m benchmarks.techniques

prints a table for docs/engine.md: the time without a technique divided by the time with it, the median of paired
samples with its 95% interval, from processes of their own that take turns. Without peers and reports: it changes the
engine from outside, which is nobody's business but its own.
"""

import time
from collections.abc import Callable

import numpy as np

from rnnbench.measure import paired_ratio
from rnnbench.measure.process import Worker, come_to_rest

CELL = "lstm"
SHAPES = ((100, 1, 128, 256), (100, 32, 128, 128), (50, 64, 512, 512))
SAMPLES = 10
THREADS = 2


def _source(file: str, *changes: tuple[str, str]) -> None:
    """Change the text of a shared kernel before it is compiled."""
    from rnnbench.engines.cpu import cache

    original = cache._sources

    def changed(dtype: str) -> dict[str, str]:
        sources = dict(original(dtype))
        for old, new in changes:
            assert old in sources[file], f"{file} no longer has {old!r}"
            sources[file] = sources[file].replace(old, new)
        return sources

    cache._sources = changed


def small_tiles() -> None:
    from rnnbench.engines.cpu.kernels import layout

    _source("layout.py", ("32: 4}", "32: 2}"), ("32: {1: 8, 2: 8, 4: 6}", "32: {1: 8, 2: 8}"))
    layout.VECTORS, layout.ROWS = {16: 2, 32: 2}, {16: {1: 6, 2: 6}, 32: {1: 8, 2: 8}}


def no_unrolling() -> None:
    _source("product.py", ("UNROLL = 4", "UNROLL = 1"))


def no_copies() -> None:
    from rnnbench.engines.cpu import backward

    setattr(backward, "WORTH_COPYING", 1 << 40)  # noqa: B010
    _source("product.py", ("WORTH_COPYING = 24", "WORTH_COPYING = 1 << 40"))


def no_reuse_of_saved() -> None:
    from rnnbench.engines.cpu import backward, forward

    for module in (backward, forward):
        setattr(module, "reused_streams", lambda *_: {})  # noqa: B010


def new_results() -> None:
    from rnnbench.engines.cpu.memory import Results

    setattr(Results, "MOST", 0)  # noqa: B010


def small_pages() -> None:
    from rnnbench.engines.cpu import memory

    memory.HUGE_PAGE = 1 << 60


def no_asking_ahead() -> None:
    from rnnbench.engines.cpu.plan import Plan

    Plan.ahead = lambda self, steps: None


def batch_only() -> None:
    from rnnbench.engines.cpu import run
    from rnnbench.engines.cpu.split import Split

    run.choose = lambda program, sizes, itemsize, host, threads: Split(min(threads, sizes[1]), 1, 0.0)


def units_only() -> None:
    from rnnbench.engines.cpu import run
    from rnnbench.engines.cpu.split import Split

    run.choose = lambda program, sizes, itemsize, host, threads: Split(threads, threads, 0.0)


# Technique -> what takes it away, and environment variables that do.
TECHNIQUES: dict[str, tuple[Callable[[], None] | None, dict[str, str]]] = {
    "register tiles of 6 x 4 vectors, not 8 x 2": (small_tiles, {}),
    "four inner steps in a turn of a tile's loop, not one": (no_unrolling, {}),
    "copies of what a weight gradient reads": (no_copies, {}),
    "gradients and pre-activations in the memory of saved values": (no_reuse_of_saved, {}),
    "results in memory that the caller has dropped": (new_results, {}),
    "huge pages": (small_pages, {}),
    "asking for the next step's memory before it is written": (no_asking_ahead, {}),
    "units split where that is better, not only the batch": (batch_only, {}),
    "batch split where that is better, not only the units": (units_only, {}),
    "vectors of 512 bits, not 256": (None, {"RNNBENCH_VECTOR_BITS": "256"}),
    "two threads, not one": (None, {"NUMBA_NUM_THREADS": "1"}),
}
WHOLE = "with all techniques"


class Variant:
    """The engine without one technique, in a process of its own."""

    def take_away(self, technique: str) -> None:
        """Change the engine; before anything is compiled."""
        if technique != WHOLE:
            change, _ = TECHNIQUES[technique]
            if change is not None:
                change()

    def prepare(self, shape: tuple[int, int, int, int]) -> None:
        """Make a layer and run it for a while."""
        from rnnbench import Layer

        T, B, I, H = shape  # noqa: E741 - the legend's letters
        rng = np.random.default_rng(0)
        self.layer = Layer(CELL, I, H)
        self.x, self.dy = (rng.standard_normal((T, B, n)).astype("float32") for n in (I, H))
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.3:
            self.step()
        come_to_rest()

    def step(self) -> None:
        self.layer.forward(self.x, training=True)
        self.layer.backward(self.dy)

    def sample(self) -> float:
        """Return the seconds of a training step, after another."""
        self.step()
        begun = time.perf_counter()
        calls = 0
        while time.perf_counter() - begun < 0.03 or not calls:
            self.step()
            calls += 1
        seconds = (time.perf_counter() - begun) / calls
        come_to_rest()
        return seconds


def main() -> None:
    """Measure, and print a table in Markdown."""
    names = [WHOLE, *TECHNIQUES]
    workers = {
        name: Worker(name, "benchmarks.techniques:Variant", THREADS, TECHNIQUES[name][1] if name != WHOLE else {})
        for name in names
    }
    found: dict[str, list[str]] = {name: [] for name in TECHNIQUES}
    try:
        for name, worker in workers.items():
            worker.ask("take_away", technique=name)
        for shape in SHAPES:
            for worker in workers.values():
                worker.ask("prepare", shape=shape)
            samples: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(SAMPLES):
                for name, worker in workers.items():
                    samples[name].append(worker.ask("sample"))
            for name in TECHNIQUES:
                ratio, low, high = paired_ratio(samples[name], samples[WHOLE])
                found[name].append(f"{ratio:.2f} ({low:.2f}-{high:.2f})")
    finally:
        for worker in workers.values():
            worker.close()
    titles = ["technique", *(str(shape) for shape in SHAPES)]
    print("| " + " | ".join(titles) + " |")
    print("| --- |" + " ---: |" * len(SHAPES))
    for name, cells in found.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
