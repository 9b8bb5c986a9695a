"""The limits of this machine: multiply-adds, matrix products and reads a second, each in a process of its own.

The arithmetic and the reads are kernels of the cpu engine (``engines/cpu/kernels/limits.py``); the product is NumPy's,
that of its BLAS. A machine that others use as well changes its speed from one moment to the next, so the quantities
take turns in short bursts.
"""

import contextlib
import ctypes
import functools
import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnnbench.engines.cpu.cache import ITEMSIZE, shared_address
from rnnbench.engines.cpu.caches import Cache, data_caches
from rnnbench.engines.cpu.host import host
from rnnbench.engines.cpu.kernels.limit_sizes import CHAINS, SUMS
from rnnbench.engines.cpu.memory import aligned
from rnnbench.errors import RnnbenchError, positive
from rnnbench.measure.machine import available_cores
from rnnbench.measure.process import REST_SECONDS, Worker, come_to_rest
from rnnbench.measure.record import new_record

DTYPES = ("float32", "float64")
GEMM_SIZE = 2048
MEMORY_LIMIT = 1 << 30  # bytes read, at most, to measure memory
# Into so many pieces the rounds of a thread are cut where their number allows it.
PIECES = 16
# Long enough for the system to spread new threads over cores that others use too: where they were busy, bursts of 20 ms
# showed a third less than the matrix product did, whose threads had been running for long.
BURST_SECONDS = 0.1


def machine_limits(
    threads: int | None = None,
    dtype: str = "float32",
    seconds: float = 15.0,
    burst_seconds: float = BURST_SECONDS,
    gemm_size: int = GEMM_SIZE,
) -> dict[str, Any]:
    """Measure what this machine's processor can do at most and return a record of kind "limits".

    Parameters
    ----------
    threads : threads of the parallel samples; all cores that this process may use if None.
    dtype : ``"float32"`` or ``"float64"``, of multiply-adds and products.
    seconds : how long all of it may take, but no fewer than 3 samples of each.
    burst_seconds : the least duration of a sample.
    gemm_size : n of the product of two n × n matrices.

    Returns
    -------
    dict : a record. ``caches`` holds level, bytes and sharing cores of each cache, ``caches_from`` who told them.
        ``limits`` has one dict for each quantity and number of threads (1 and ``threads``): ``quantity``, ``level``,
        ``threads``, ``unit``, raw ``samples``, ``median``, ``best``, and for reads the ``working_set`` of each thread
        in bytes. Quantities are ``"fma"`` and ``"gemm"`` in FLOP/s, ``"read"`` in B/s of level "L1", ..., "memory", and
        ``"fma_latency"``, the seconds from one multiply-add to the next that waits for it.
    """
    threads = available_cores() if threads is None else positive("threads", threads)
    if dtype not in DTYPES:
        raise RnnbenchError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    caches, told_by = data_caches()
    quantities = _quantities(threads, dtype, caches, positive("gemm_size", gemm_size))
    asked = {"threads": threads, "dtype": dtype, "gemm_size": gemm_size, "seconds": seconds}
    asked["protocol"] = {"burst_seconds": burst_seconds, "rest_seconds": REST_SECONDS}
    samples = _take_turns(quantities, threads, seconds, burst_seconds)
    limits = [
        {**one.facts, "samples": taken, "median": statistics.median(taken), "best": one.best(taken)}
        for one, taken in zip(quantities, samples, strict=True)
    ]
    held = [{"level": cache.name, "bytes": cache.size, "cores": cache.cores} for cache in caches]
    return new_record("limits", asked, {"caches": held, "caches_from": told_by, "limits": limits})


@dataclass(frozen=True)
class Quantity:
    """What is sampled: ``facts`` for the record, and the probe that its process holds, with its arguments.

    Arithmetic, products and reads have a process each, so that a thread pool or a filled memory is its own matter.
    """

    process: str
    probe: str
    arguments: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Which probe of its process it is."""
        return " ".join(filter(None, [self.probe, self.facts["level"]]))

    def best(self, samples: Sequence[float]) -> float:
        """Return the sample of the fastest moment."""
        return min(samples) if self.facts["unit"] == "s" else max(samples)


def _quantities(threads: int, dtype: str, caches: Sequence[Cache], gemm_size: int) -> list[Quantity]:
    counts = (1, threads) if threads > 1 else (1,)
    found = []
    for count in counts:
        facts = {"quantity": "fma", "level": None, "threads": count, "unit": "FLOP/s"}
        found.append(Quantity("arithmetic", "MultiplyAdds", {"dtype": dtype}, facts))
    facts = {"quantity": "fma_latency", "level": None, "threads": 1, "unit": "s"}
    found.append(Quantity("arithmetic", "Latency", {"dtype": dtype}, facts))
    facts = {"quantity": "gemm", "level": None, "threads": threads, "unit": "FLOP/s"}
    found.append(Quantity("product", "Gemm", {"dtype": dtype, "size": gemm_size}, facts))
    for level, working_set in working_sets(caches, threads).items():
        for count in counts:
            facts = {"quantity": "read", "level": level, "threads": count, "unit": "B/s", "working_set": working_set}
            arguments = {"dtype": dtype, "working_set": working_set, "threads": threads}
            found.append(Quantity("reads", "Reads", arguments, facts))
    return found


def working_sets(caches: Sequence[Cache], threads: int) -> dict[str, int]:
    """Return the bytes that each thread reads to measure each level of the hierarchy, whole kibibytes.

    Half of a core's share of a cache, but at least twice what lies in the level before it; of memory, four times a
    core's share of the last cache and twice all of it together, as far as MEMORY_LIMIT and an eighth of the machine's
    memory allow.
    """
    import psutil

    sets, before = {}, 0
    for cache in caches:
        sets[cache.name] = max(cache.share // 2, 2 * before)
        before = cache.share
    last = caches[-1]
    room = min(MEMORY_LIMIT, psutil.virtual_memory().total // 8) // threads
    sets["memory"] = min(max(4 * last.share, 2 * last.size), room)
    return {level: size // 1024 * 1024 for level, size in sets.items()}


def _take_turns(
    quantities: Sequence[Quantity], threads: int, seconds: float, burst_seconds: float
) -> list[list[float]]:
    begun = time.perf_counter()
    taken: list[list[float]] = [[] for _ in quantities]
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for process in dict.fromkeys(one.process for one in quantities):  # they load their libraries side by side
            worker = Worker(f"the measurement of {process}", "rnnbench.measure.limits:Held", threads)
            workers[process] = stack.enter_context(worker)
        for one in {(one.process, one.name): one for one in quantities}.values():
            workers[one.process].ask("prepare", name=one.name, probe=one.probe, arguments=one.arguments)

        def sample(one: Quantity) -> float:
            asked = {"threads": one.facts["threads"], "burst_seconds": burst_seconds}
            return workers[one.process].ask("sample", name=one.name, **asked)

        for one in quantities:  # finds how many rounds fill a burst
            sample(one)
        turn = 0.0
        while len(taken[0]) < 3 or time.perf_counter() - begun + turn < seconds:
            turn_begun = time.perf_counter()
            for one, samples in zip(quantities, taken, strict=True):
                samples.append(sample(one))
            turn = time.perf_counter() - turn_begun
    return taken


class Probe(Protocol):
    """Something that can be done any number of times over, and how its rate is counted."""

    def run(self, threads: int, rounds: int) -> float:
        """Do ``rounds`` on each of the threads and return the seconds it took."""
        ...

    def value(self, threads: int, rounds: int, seconds: float) -> float:
        """Return the measured quantity."""
        ...


class Held:
    """Holds the probes of one process."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}
        self._rounds: dict[tuple[str, int], int] = {}

    def prepare(self, name: str, probe: str, arguments: Mapping[str, Any]) -> None:
        """Make a probe of the class ``probe``."""
        self._probes[name] = _PROBES[probe](**arguments)

    def sample(self, name: str, threads: int, burst_seconds: float) -> float:
        """Return the quantity over one burst, after an untimed run where rounds are short; then come to rest."""
        probe, rounds = self._probes[name], self._rounds.get((name, threads), 1)
        if rounds >= 8:
            probe.run(threads, rounds // 8)
        while True:
            took = probe.run(threads, rounds)
            if took >= burst_seconds:
                self._rounds[name, threads] = rounds
                come_to_rest()
                return probe.value(threads, rounds, took)
            # Not in one leap: the first round of anything is slow.
            rounds = math.ceil(rounds * min(16.0, 1.5 * burst_seconds / took))
            if rounds > PIECES:
                rounds += -rounds % PIECES


class MultiplyAdds:
    """Independent multiply-adds in the registers of each thread: FLOP/s, two each."""

    def __init__(self, dtype: str, kernel: str = "multiply_adds") -> None:
        self._dtype, self._function = dtype, c_function(dtype, kernel, 2)
        chains = CHAINS[host().registers]
        self._bytes = (chains + 2) * host().vector_bytes
        self.flops_per_round = 2 * chains * host().lanes(ITEMSIZE[dtype])

    def run(self, threads: int, rounds: int) -> float:
        # v = v / 2 + 1 / 2 stays near 1: no number overflows or becomes subnormal.
        blocks = [_zeros(self._bytes) for _ in range(threads)]
        for block in blocks:
            block.view(self._dtype)[...] = 0.5
        pieces = math.gcd(rounds, PIECES)
        calls = [functools.partial(self._function, rounds // pieces, block.ctypes.data) for block in blocks]
        return together(calls, threads * pieces)

    def value(self, threads: int, rounds: int, seconds: float) -> float:
        return threads * rounds * self.flops_per_round / seconds


class Latency(MultiplyAdds):
    """Multiply-adds in one chain: seconds from one to the next."""

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype, "dependent_multiply_adds")

    def value(self, threads: int, rounds: int, seconds: float) -> float:
        return seconds / rounds


class Reads:
    """Reads of a block of each thread's own, again and again: B/s."""

    def __init__(self, dtype: str, working_set: int, threads: int) -> None:
        self._function = c_function(dtype, "read", 4)
        turn = SUMS * host().vector_bytes
        size = working_set // turn * turn
        self._blocks = [_zeros(size) for _ in range(threads)]
        for block in self._blocks:
            block[...] = 1  # pages that nobody has written are all the same page of zeros
        self._totals = [_zeros(turn) for _ in range(threads)]

    def run(self, threads: int, rounds: int) -> float:
        pieces = math.gcd(rounds, PIECES)
        calls = [
            functools.partial(self._function, block.ctypes.data, block.size, rounds // pieces, total.ctypes.data)
            for block, total in list(zip(self._blocks, self._totals, strict=True))[:threads]
        ]
        return together(calls, threads * pieces)

    def value(self, threads: int, rounds: int, seconds: float) -> float:
        return threads * rounds * self._blocks[0].size / seconds


class Gemm:
    """Products of two square matrices by NumPy's BLAS on its own threads: FLOP/s."""

    def __init__(self, dtype: str, size: int) -> None:
        rng = np.random.default_rng(0)
        self._a, self._b = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
        self._out = np.empty_like(self._a)
        self.flops_per_round = 2 * size**3

    def run(self, threads: int, rounds: int) -> float:
        begun = time.perf_counter()
        for _ in range(rounds):
            np.matmul(self._a, self._b, out=self._out)
        return time.perf_counter() - begun

    def value(self, threads: int, rounds: int, seconds: float) -> float:
        return rounds * self.flops_per_round / seconds


_PROBES: Mapping[str, Callable[..., Probe]] = {
    "MultiplyAdds": MultiplyAdds,
    "Latency": Latency,
    "Gemm": Gemm,
    "Reads": Reads,
}


def c_function(dtype: str, kernel: str, arguments: int) -> Callable[..., None]:
    """Return a kernel of ``limits.py`` as a C function, during which other Python threads run."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(shared_address(dtype, "limits", kernel))


def _zeros(size: int) -> np.ndarray:
    """Return zeroed bytes that begin at a cache line."""
    return aligned((size,), np.dtype(np.uint8), zero=True)


def together(calls: Sequence[Callable[[], object]], pieces: int) -> float:
    """Share ``pieces`` of work among threads, one for each of ``calls``, and return the seconds that all took.

    A thread does a piece with its own call, then takes the next that is left: one that has to wait for a core holds
    nobody up. All begin at once.
    """
    if len(calls) == 1:
        begun = time.perf_counter()
        for _ in range(pieces):
            calls[0]()
        return time.perf_counter() - begun
    barrier, left = threading.Barrier(len(calls)), iter(range(pieces))
    spans = []

    def work(call: Callable[[], object]) -> None:
        barrier.wait()
        begun = time.perf_counter()
        for _ in left:  # Python's lock makes taking one atomic
            call()
        spans.append((begun, time.perf_counter()))

    others = [threading.Thread(target=work, args=(call,)) for call in calls[1:]]
    for thread in others:
        thread.start()
    work(calls[0])
    for thread in others:
        thread.join()
    return max(end for _, end in spans) - min(begun for begun, _ in spans)
