"""Trials on the workers of a dask.distributed scheduler; records come back, and only this process writes them down.

The scheduler runs a trial again whose worker dies. A trial is given to the cluster only when a worker is there for it,
so that trials start in order and few are under way when the run is stopped.
"""

import functools
import hashlib
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import rnnbench
from rnnbench.engines.kernel_folder import cache_folder, private
from rnnbench.errors import RnnbenchError
from rnnbench.trials.executors.account import Account, now_and_then
from rnnbench.trials.run import run_trial
from rnnbench.trials.trial import Trial

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 10
ALONE_SECONDS = 60.0
"""How long a run waits for a worker when all of them are gone, before it gives up."""
_LOOK_SECONDS = 1.0  # between two looks at who is there
_TOPIC = "rnnbench"
_ROOMS = ("lang", "cells", "engines", "nn", "tasks", "trials")

Where = Callable[[], Mapping[str, Any]]


def work(account: Account, scheduler: str, where: Where | None) -> None:
    """Run every waiting trial on the workers of ``scheduler``.

    Raises RnnbenchError for a scheduler that does not answer or has no workers, and for workers with another version
    of rnnbench, with several threads, or without a place for kernels.
    """
    with _connected(scheduler) as client:
        _check_workers(client, scheduler)
        _Cluster(account, client, scheduler, where).work()


def check_scheduler(scheduler: str) -> None:
    """Raise RnnbenchError as ``work`` would for a scheduler or workers that cannot be used."""
    with _connected(scheduler) as client:
        _check_workers(client, scheduler)


class _Cluster:
    """One run on a cluster: what it has been given, and what it says."""

    def __init__(self, account: Account, client: "Client", scheduler: str, where: Where | None):
        self.account, self.client, self.scheduler, self.where = account, client, scheduler, where
        self.run = uuid.uuid4().hex
        self.messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.futures: dict[str, tuple[Future, Trial]] = {}
        self.workers: dict[str, str] = {}  # trial -> the worker that has last spoken of it
        self._seen = time.monotonic()

    def work(self) -> None:
        """Keep the workers busy until every trial has finished or failed."""
        self.client.subscribe_topic(_TOPIC, self._overhear)
        try:
            while self.account.waiting or self.account.running:
                self.account.seconds()
                places = self._places()
                while self.account.waiting and len(self.account.running) < places:
                    self._give(self.account.next())
                self._listen()
        finally:
            # What still runs on a worker looks now and then whether it is wanted, and ends.
            self.client.cancel([future for future, _ in self.futures.values()], force=True)
            self.client.unsubscribe_topic(_TOPIC)

    def _places(self) -> int:
        """Return how many trials the workers can run now; raise RnnbenchError when there have been none for long."""
        present = len(_threads(self.client))
        if present:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > ALONE_SECONDS:
            raise RnnbenchError(f"the scheduler at {self.scheduler} has had no workers for {ALONE_SECONDS:.0f} s")
        return present

    def _give(self, trial: Trial) -> None:
        name = f"{_TOPIC}-{self.run}-{trial.key}"
        asked = (trial.model_dump(), trial.key, rnnbench.__version__, source_digest())
        future = self.client.submit(_train, *asked, self.where, self.run, name, key=name, pure=False)
        self.futures[trial.key] = (future, trial)
        future.add_done_callback(lambda done, key=trial.key: self.messages.put(("done", key)))

    def _overhear(self, event: tuple[Any, Any]) -> None:
        """Take a message of a worker (in the client's own thread); those of other runs are not ours."""
        message = event[1]
        if message["run"] == self.run:
            self.messages.put(("told", message))

    def _listen(self) -> None:
        """Hear what has happened, for a second at most, so that workers that join or leave are noticed."""
        limit = self.account.seconds()
        try:
            kind, content = self.messages.get(timeout=_LOOK_SECONDS if limit is None else min(limit, _LOOK_SECONDS))
        except queue.Empty:
            return
        if kind == "done":
            self._settle(content)
        elif content["key"] in self.futures:
            self._hear(self.futures[content["key"]][1], **content)

    def _hear(self, trial: Trial, worker: str, step: int, loss: float | None, **_: Any) -> None:
        before = self.workers.get(trial.key)
        self.workers[trial.key] = worker
        if loss is not None:
            self.account.progress(trial, step, loss)
        elif before is not None:
            self.account.restart(trial, f"its worker {before} is gone")

    def _settle(self, key: str) -> None:
        from distributed import CancelledError, KilledWorker

        future, trial = self.futures.pop(key)
        try:
            record = future.result()
        except RnnbenchError as error:
            self.account.fail(trial, str(error))
        except KilledWorker as error:
            self.account.fail(trial, f"every worker that had it died, the last at {error.last_worker.address}")
        except CancelledError:
            raise RnnbenchError(f"the connection to the scheduler at {self.scheduler} was lost") from None
        except Exception as error:  # noqa: BLE001 - whatever a worker raised: told, as that of a process is
            self.account.fail(trial, f"its worker raised {type(error).__name__}: {error}")
        else:
            self.account.finish(trial, record)


@contextmanager
def _connected(scheduler: str) -> "Iterator[Client]":
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise RnnbenchError(
            "a scheduler needs dask.distributed, which is not installed: pip install 'rnnbench[dask]'"
        ) from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RnnbenchError(f"no dask scheduler answers at {scheduler!r}: {reason}") from error
    try:
        yield client
    finally:
        client.close()


def _check_workers(client: "Client", scheduler: str) -> None:
    """Raise RnnbenchError for the first worker that must not run trials of this process."""
    threads = _threads(client)
    if not threads:
        raise RnnbenchError(f"the scheduler at {scheduler} has no workers: start some with 'dask worker {scheduler}'")
    answers = cast(dict[str, Any], client.run(introduce, on_error="return"))
    for address, told in answers.items():
        if isinstance(told, ModuleNotFoundError):
            raise RnnbenchError(f"worker {address} cannot import rnnbench ({told}): install it there")
        if isinstance(told, BaseException):
            raise RnnbenchError(f"worker {address} cannot run trials: {told}") from told
        _check_version(address, told["version"], told["sources"], rnnbench.__version__, source_digest())
        _check_threads(address, threads[address])


def _threads(client: "Client") -> dict[str, int]:
    """Return worker -> its threads."""
    return cast(dict[str, int], client.nthreads())  # a coroutine of an asynchronous client alone


def _check_version(worker: str, version: str, sources: str, wanted: str, wanted_sources: str) -> None:
    if version != wanted:
        raise RnnbenchError(f"worker {worker} has rnnbench {version}, and this process {wanted}: install the same")
    if sources != wanted_sources:
        raise RnnbenchError(
            f"worker {worker} has rnnbench {version} with other source files than this process: install the same"
        )


def _check_threads(worker: str, threads: int) -> None:
    if threads != 1:
        raise RnnbenchError(
            f"worker {worker} has {threads} threads, and a trial needs a process of its own: start workers with "
            "'dask worker --nworkers auto --nthreads 1'"
        )


# On a worker


def introduce() -> dict[str, str]:
    """Return a worker's version of rnnbench. Raises RnnbenchError where it has no place for kernels."""
    private(cache_folder())
    return {"version": rnnbench.__version__, "sources": source_digest()}


@functools.cache
def source_digest() -> str:
    """Return a hash of the sources that a trial runs: two checkouts may differ and bear one version."""
    root = Path(rnnbench.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(file for room in _ROOMS for file in (root / room).rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


class _NotWanted(Exception):
    """The run that asked for this trial was stopped; nobody waits for it."""


def _train(
    fields: dict[str, Any], key: str, version: str, sources: str, where: Where | None, run: str, task: str
) -> dict[str, Any] | None:
    """Train a trial and return its record; None where nobody waits for it any more.

    The trial is made anew from its fields, so that its key says whether this worker means the same by them: the
    equations of the reader's own cell, or the content of a data file.
    """
    from distributed import get_worker

    worker = get_worker()
    # Workers may have joined since the run began.
    _check_version(worker.address, rnnbench.__version__, source_digest(), version, sources)
    _check_threads(worker.address, worker.state.nthreads)
    trial = Trial(**fields)
    if trial.key != key:
        raise RnnbenchError(f"the cell's equations or the task's data on worker {worker.address} are not those here")

    def tell(step: int, loss: float | None) -> None:
        state = worker.state.tasks.get(task)
        if state is None or state.state != "executing":
            raise _NotWanted
        worker.log_event(_TOPIC, {"run": run, "key": key, "worker": worker.address, "step": step, "loss": loss})

    tell(0, None)
    try:
        return run_trial(trial, now_and_then(tell)).to_record(where() if where is not None else None)
    except _NotWanted:
        return None
