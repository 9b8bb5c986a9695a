"""The engine's threads: they wait actively for a moment after each call, then sleep, and share one job at a time."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache

import numpy as np

from rnnbench.engines.cpu.cache import shared_address
from rnnbench.engines.cpu.kernels import layout
from rnnbench.engines.cpu.memory import address, aligned


def available_threads() -> int:
    """Return how many threads the engine may use: the cores this process may run on, or NUMBA_NUM_THREADS."""
    chosen = os.environ.get("NUMBA_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def native(dtype: str, function: str, arguments: int):
    """Return a function of kernels/launch.py as a Python callable that releases the interpreter's lock."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(shared_address(dtype, "launch", function))


@cache
def _yield_address() -> int:
    """Return the address of the system's function that gives up the rest of a time slice."""
    library = ctypes.WinDLL("kernel32") if sys.platform == "win32" else ctypes.CDLL(None)  # type: ignore[attr-defined]
    function = library.SwitchToThread if sys.platform == "win32" else library.sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_getcpu = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else None


def barriers(count: int) -> np.ndarray:
    """Return barriers for as many groups of threads."""
    table = aligned((count, layout.BARRIER_SIZE), np.dtype(np.int64), zero=True)
    table[:, layout.YIELD] = _yield_address()
    return table


class _Pool:
    """Threads that exist for the life of the process; a job is a list of phases and the plan that they run on."""

    def __init__(self, dtype: str, size: int) -> None:
        words = layout.WORKERS + size * layout.WORKER_SIZE
        self.size = size
        self._job = aligned((words,), np.dtype(np.int64), zero=True)
        self._sleeping = np.zeros(size, np.int64)
        self._barrier = barriers(1)
        self._job[layout.JOB_BARRIER] = address(self._barrier)
        self._at, self._sleeping_at = address(self._job), address(self._sleeping)
        self._summon, self._run = native(dtype, "summon", 2), native(dtype, "run_shared", 2)
        self._serve, self._runner = native(dtype, "serve", 3), shared_address(dtype, "launch", "run_shared")
        self._wake = [threading.Lock() for _ in range(size)]
        self._threads = [threading.main_thread()]
        for thread in range(1, size):
            self._wake[thread].acquire()
            self._threads.append(
                threading.Thread(target=self._work, args=(thread,), name=f"rnnbench-{thread}", daemon=True)
            )
            self._threads[thread].start()

    def _work(self, thread: int) -> None:
        while True:
            self._wake[thread].acquire()
            if _getcpu is not None:
                os.sched_setaffinity(0, self._cores)  # once awake on a core of its own, it may go where it likes
            self._serve(thread, self._at, self._runner)

    def _spread(self) -> None:
        """Have each sleeping thread wake on a core of its own.

        Left to itself, Linux often wakes a thread on the core of the one that calls it, and takes up to 10 ms to notice
        that another is idle.
        """
        if _getcpu is None:
            return
        self._cores = os.sched_getaffinity(0)
        others = sorted(self._cores - {_getcpu()})
        for thread in range(1, self.size):
            native = self._threads[thread].native_id
            if self._sleeping[thread] and others and native is not None:
                os.sched_setaffinity(native, {others[(thread - 1) % len(others)]})

    def run(self, phases: int, count: int, plan: int, threads: int) -> None:
        """Run the phases on the calling thread and on ``threads`` - 1 others."""
        self._job[: layout.JOB_BARRIER] = (phases, count, plan, threads)
        self._summon(self._at, self._sleeping_at)
        sleeping = [thread for thread in range(1, threads) if self._sleeping[thread]]
        try:
            if sleeping:
                self._spread()
        finally:
            # Also when Ctrl-C came just now: threads that were summoned wait for all others.
            for thread in sleeping:
                self._wake[thread].release()
            self._run(0, self._at)


_pool: _Pool | None = None
_one_job_at_a_time = threading.Lock()


def _forget_pool() -> None:
    """Let a forked child make threads of its own: its parent's do not exist in it."""
    global _pool, _one_job_at_a_time
    _pool, _one_job_at_a_time = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def launch(dtype: str, phases: int, count: int, plan: int, threads: int) -> None:
    """Run ``count`` phases, a table at an address, on the plan at an address: alone, or on so many threads."""
    global _pool
    if threads == 1:
        native(dtype, "run_alone", 3)(phases, count, plan)
        return
    with _one_job_at_a_time:
        if _pool is None or _pool.size < threads:
            # Threads of a smaller pool stay asleep for good.
            _pool = _Pool(dtype, threads)
        _pool.run(phases, count, plan, threads)
