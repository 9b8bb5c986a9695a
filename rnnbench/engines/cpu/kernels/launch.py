"""Running the phases of a call: in the caller's thread, or shared with the threads of the pool."""

from .barrier import atomic_load, compare_exchange, exchange, pause, wait_for_all
from .compiled import kernel
from .layout import (
    ASLEEP,
    AWAKE,
    CALLED,
    CHUNK_FROM,
    CHUNK_TO,
    FUNCTION,
    JOB_BARRIER,
    JOB_PHASE_COUNT,
    JOB_PHASES,
    JOB_PLAN,
    JOB_THREADS,
    PHASE_SIZE,
    WORKER_SIZE,
    WORKERS,
)  # fmt: skip
from .subnormal import flush_subnormals, restore
from .vector import call, integer_at, set_integer

# How often a thread looks for its next call before it sleeps: some 200 microseconds, longer than from one call of a
# training loop to the next, and shorter than would take time from other programs.
SPINS = 4000


@kernel
def run_alone(phases, count, plan):
    """Run every phase in this thread."""
    before = flush_subnormals()
    for p in range(count):
        phase = phases + p * (PHASE_SIZE * 8)
        for chunk in range(integer_at(phase, CHUNK_FROM), integer_at(phase, CHUNK_TO)):
            call(integer_at(phase, FUNCTION), (0, 1, chunk, plan))
    restore(before)


@kernel
def run_shared(thread, job):
    """Run this thread's part of every phase of a job; each phase ends before the next begins."""
    phases, plan = integer_at(job, JOB_PHASES), integer_at(job, JOB_PLAN)
    threads, barrier = integer_at(job, JOB_THREADS), integer_at(job, JOB_BARRIER)
    before = flush_subnormals()
    for p in range(integer_at(job, JOB_PHASE_COUNT)):
        phase = phases + p * (PHASE_SIZE * 8)
        for chunk in range(integer_at(phase, CHUNK_FROM), integer_at(phase, CHUNK_TO)):
            call(integer_at(phase, FUNCTION), (thread, threads, chunk, plan))
        wait_for_all(barrier, threads)
    restore(before)


@kernel
def summon(job, sleeping):
    """Give the job to its threads; ``sleeping`` gets a one for each that must be woken."""
    for thread in range(1, integer_at(job, JOB_THREADS)):
        before = exchange(job, WORKERS + thread * WORKER_SIZE, CALLED)
        set_integer(sleeping, thread, 1 if before == ASLEEP else 0)


@kernel
def serve(thread, job, runner):
    """Run jobs as they come, and return when none has come for a while."""
    state = WORKERS + thread * WORKER_SIZE
    spins = 0
    while spins < SPINS:
        if atomic_load(job, state) == CALLED:
            # Before running: from the last barrier of the job on, the next one may be given out.
            exchange(job, state, AWAKE)
            call(runner, (thread, job))
            spins = 0
        else:
            pause()
            spins += 1
            if spins == SPINS and not compare_exchange(job, state, AWAKE, ASLEEP):
                spins = 0
