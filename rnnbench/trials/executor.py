"""Run many trials in several processes, store each as it ends, and say what is going on.

Plain processes with a pipe each, and not joblib or concurrent.futures: both give up the whole pool when one worker is
killed (out of memory, say) and pass on no progress. Here a dead worker's pipe ends, which names the trial it had.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from typing import Any, Literal

from rnnbench.errors import RnnbenchError, positive
from rnnbench.trials.store import Store
from rnnbench.trials.trial import Trial

_PROGRESS_SECONDS = 0.2  # between two reports of one worker: often enough for a bar, too rare to cost anything
_ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Event:
    """Something happened to one trial.

    ``kind``: "started"; "progress", with ``step`` and training ``loss``; "finished", with the stored ``record``;
    "failed", with ``message`` (it is not stored, so the next run tries it again). ``done`` of ``total`` trials are
    stored so far. ``seconds_left``: for all of them, None before the first step.
    """

    kind: Literal["started", "progress", "finished", "failed"]
    trial: Trial
    done: int
    total: int
    seconds_left: float | None = None
    step: int = 0
    loss: float | None = None
    record: dict[str, Any] | None = None
    message: str = ""


@dataclass(frozen=True)
class Summary:
    """Of ``total`` trials, ``finished`` ran now, ``resumed`` were in the store before, ``failed`` came to nothing."""

    total: int
    finished: int
    resumed: int
    failed: list[tuple[Trial, str]]


class Interrupted(KeyboardInterrupt):
    """Raised by ``run_all`` after Ctrl-C, with how many trials are stored: ``done`` of ``total``."""

    def __init__(self, done: int, total: int):
        super().__init__(f"stopped: {done} of {total} trials are stored; the same command resumes with the others")
        self.done, self.total = done, total


def run_all(
    trials: Iterable[Trial],
    store: Store,
    processes: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Summary:
    """Run the trials whose key is not in ``store`` yet, and add each one's record when it ends.

    ``processes``: at a time, each on one thread (None: one for each core). ``on_event``: called here, in order.
    ``where``: facts on the machine, for the records. A trial that fails, or whose process dies, is reported and the
    others go on. Processes are spawned, so a script that calls this needs ``if __name__ == "__main__":``.
    Raises Interrupted after Ctrl-C; then, as after any other end, no process is left behind.
    """
    by_key = {trial.key: trial for trial in trials}
    stored = store.keys("trial")
    pending = {key: trial for key, trial in by_key.items() if key not in stored}
    count = positive("processes", len(_cores()) if processes is None else processes)
    run = _Run(pending, len(by_key), store, on_event or (lambda event: None), dict(where or {}))
    try:
        run.work(min(count, len(pending)))
    except KeyboardInterrupt:
        raise Interrupted(run.done, run.total) from None
    finally:
        run.stop()
    return Summary(run.total, run.finished, len(by_key) - len(pending), run.failed)


def _cores() -> range | set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


class _Worker:
    """A process that runs one trial at a time, and this side's end of its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,), daemon=True)
        with _environment(_ONE_THREAD), _without_interrupts():
            self.process.start()
        other.close()  # the child's end lives in the child alone, so that the pipe ends when the child does
        self.trial: Trial | None = None
        self.step = 0

    def give(self, trial: Trial) -> None:
        self.trial, self.step = trial, 0
        with contextlib.suppress(BrokenPipeError):  # it has died: receiving will say so
            self.pipe.send(trial)

    def epitaph(self) -> str:
        """Wait for a process whose pipe has ended, and say what became of it."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            return f"its process was killed ({name}{', perhaps for lack of memory' if name == 'SIGKILL' else ''})"
        return f"its process ended with exit code {code}; standard error has its traceback"

    def end(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class _Run:
    """One call of ``run_all``: the trials still to do, the workers, and what has come of them."""

    def __init__(
        self,
        pending: Mapping[str, Trial],
        total: int,
        store: Store,
        on_event: Callable[[Event], None],
        where: dict[str, Any],
    ):
        self.pending = deque(pending.values())
        self.total, self.to_do = total, len(pending)
        self.store, self.on_event, self.where = store, on_event, where
        self.finished = 0
        self.failed: list[tuple[Trial, str]] = []
        self.workers: list[_Worker] = []
        self.started = time.monotonic()

    @property
    def done(self) -> int:
        return self.total - self.to_do + self.finished

    def work(self, processes: int) -> None:
        """Keep ``processes`` workers busy until every trial has finished or failed."""
        for _ in range(processes):
            self._start()
        while self.workers:
            by_pipe = {worker.pipe: worker for worker in self.workers}
            for ready in connection.wait(list(by_pipe)):
                worker = by_pipe[ready]  # type: ignore[index]
                try:
                    message = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    self._bury(worker)
                else:
                    self._hear(worker, *message)

    def stop(self) -> None:
        """End every process."""
        for worker in self.workers:
            worker.end()
        self.workers = []

    def _start(self) -> None:
        worker = _Worker()
        self.workers.append(worker)
        self._assign(worker)

    def _assign(self, worker: _Worker) -> None:
        trial = self.pending.popleft()
        worker.give(trial)
        self._tell("started", trial)

    def _hear(self, worker: _Worker, kind: str, content: dict[str, Any]) -> None:
        assert worker.trial is not None
        trial = worker.trial
        if kind == "progress":
            worker.step = content["step"]
            self._tell("progress", trial, **content)
            return
        worker.trial = None
        if kind == "finished":
            record = content["record"] | {"where": self.where}
            self.store.add(record)
            self.finished += 1
            self._tell("finished", trial, record=record)
        else:
            self._fail(trial, content["message"])
        if self.pending:
            self._assign(worker)
        else:
            self.workers.remove(worker)
            worker.end()

    def _bury(self, worker: _Worker) -> None:
        assert worker.trial is not None
        trial, why = worker.trial, worker.epitaph()
        self.workers.remove(worker)
        worker.end()
        self._fail(trial, why)
        if self.pending:
            self._start()

    def _fail(self, trial: Trial, message: str) -> None:
        self.failed.append((trial, message))
        self._tell("failed", trial, message=message)

    def _tell(self, kind: Literal["started", "progress", "finished", "failed"], trial: Trial, **more: Any) -> None:
        self.on_event(Event(kind, trial, self.done, self.total, self._seconds_left(), **more))

    def _seconds_left(self) -> float | None:
        """Estimate from the share of all budgets that is used up; a trial solved early counts as a whole one."""
        running = sum(worker.step / worker.trial.steps for worker in self.workers if worker.trial)
        share = (self.finished + len(self.failed) + running) / self.to_do
        return (time.monotonic() - self.started) * (1 - share) / share if share else None


def _work(pipe: connection.Connection) -> None:
    """Run the trials that come through ``pipe`` until it ends (in the spawned process).

    Any error that is not the caller's to mend ends the process with its traceback on standard error; ``run_all`` then
    reports the trial and starts another process.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from rnnbench.trials.run import run_trial

    while True:
        try:
            trial = pipe.recv()
        except EOFError:
            return
        try:
            record = run_trial(trial, _reporter(pipe)).to_record()
        except RnnbenchError as error:
            pipe.send(("failed", {"message": str(error)}))
        else:
            pipe.send(("finished", {"record": record}))


def _reporter(pipe: connection.Connection) -> Callable[[int, float], None]:
    last = time.monotonic()

    def report(step: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            pipe.send(("progress", {"step": step, "loss": loss}))

    return report


def _end_with_parent() -> None:
    """End this process at once when the one that spawned it is gone, killed perhaps: nobody would take the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a child: NumPy and Numba read theirs when they are first imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a child inherit a blocked SIGINT: Ctrl-C reaches the whole process group, and stopping is the parent's job.

    Here, one that comes meanwhile is delivered when it is unblocked.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started along with the first child otherwise, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
