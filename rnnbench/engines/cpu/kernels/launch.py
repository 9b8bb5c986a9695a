"""The one parallel region of the engine: every phase of every cell runs through it."""

from functools import cache

from numba import njit, prange, types

from .vector import call

PHASES = types.Array(types.int64, 2, "C")


@njit(types.void(PHASES, types.int64), cache=True, nogil=True)
def serial(phases, plan):
    """Run each phase (function address, first chunk, end chunk) in the caller's thread."""
    for phase in range(phases.shape[0]):
        for chunk in range(phases[phase, 1], phases[phase, 2]):
            call(phases[phase, 0], (0, 1, chunk, plan))


def _parallel(phases, plan, threads):
    for phase in range(phases.shape[0]):
        for thread in prange(threads):
            for chunk in range(phases[phase, 1], phases[phase, 2]):
                call(phases[phase, 0], (thread, threads, chunk, plan))


@cache
def compiled_parallel():
    """Return the parallel form, compiled on first use: a process with one thread starts no thread pool."""
    return njit(types.void(PHASES, types.int64, types.int64), cache=True, nogil=True, parallel=True)(_parallel)


def parallel(phases, plan, threads):
    """Run each phase on all threads together; each phase ends before the next begins."""
    compiled_parallel()(phases, plan, threads)
