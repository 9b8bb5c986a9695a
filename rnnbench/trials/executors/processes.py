"""Trials in spawned processes of this machine, with a pipe to each: a dead one's pipe ends, which names its trial."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from multiprocessing import connection, resource_tracker
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.executors.account import Account, now_and_then
from rnnbench.trials.trial import Trial

_ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def work(account: Account, count: int, where: dict[str, Any]) -> None:
    """Keep ``count`` processes busy until every trial has finished or failed, and end them."""
    workers: list[_Worker] = []
    try:
        while account.waiting or account.running:
            account.seconds()
            while account.waiting and len(workers) < count:
                workers.append(_Worker())
                workers[-1].give(account.next())
            by_pipe = {worker.pipe: worker for worker in workers}
            for ready in connection.wait(list(by_pipe), account.seconds()):
                worker = by_pipe[ready]  # type: ignore[index]
                if not _hear(worker, account, where):
                    workers.remove(worker)
                    worker.end()
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that runs one trial at a time, and this side's end of its pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,), daemon=True)
        with _environment(_ONE_THREAD), _without_interrupts():
            self.process.start()
        other.close()  # the child's end lives in the child alone, so that the pipe ends when the child does
        self.trial: Trial | None = None

    def give(self, trial: Trial) -> None:
        self.trial = trial
        with contextlib.suppress(BrokenPipeError):  # it has died: receiving will say so
            self.pipe.send(trial)

    def end(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _hear(worker: _Worker, account: Account, where: dict[str, Any]) -> bool:
    """Pass on what a process says, and give it the next trial; return whether it is to stay."""
    trial = worker.trial
    assert trial is not None
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        _bury(trial, worker.process.exitcode or 0, account)
        return False
    if kind == "progress":
        account.progress(trial, **content)
        return True
    if kind == "finished":
        account.finish(trial, content["record"] | {"where": where})
    else:
        account.fail(trial, content["message"])
    if account.waiting:
        worker.give(account.next())
        return True
    return False


def _bury(trial: Trial, code: int, account: Account) -> None:
    """Say what became of a process; a killed one's trial is tried again, one that raised would only raise again."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        account.lose(trial, f"its process was killed ({name}{memory})")
    else:
        account.fail(trial, f"its process ended with exit code {code}; standard error has its traceback")


def _serve(pipe: connection.Connection) -> None:
    """Run the trials that come through ``pipe`` until it ends (in the spawned process).

    Any error that is not the caller's to mend ends the process with its traceback on standard error.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from rnnbench.trials.run import run_trial

    def progress(step: int, loss: float) -> None:
        pipe.send(("progress", {"step": step, "loss": loss}))

    while True:
        try:
            trial = pipe.recv()
        except EOFError:
            return
        try:
            record = run_trial(trial, now_and_then(progress)).to_record()
        except RnnbenchError as error:
            pipe.send(("failed", {"message": str(error)}))
        else:
            pipe.send(("finished", {"record": record}))


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
