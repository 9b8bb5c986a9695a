"""Run many trials, store each as it ends, and say what is going on: here, in processes, or on a cluster.

One account (``account.py``) knows what is to do, under way and done; three ways to get a trial trained share it:
``here.py`` in this process, ``processes.py`` in processes of this machine, ``cluster.py`` on the workers of a
dask.distributed scheduler. All train with ``rnnbench.trials.run``, each trial on one thread, so the results are the
same to the bit. Only the calling process writes to the store; whoever trains hands back a record.

joblib, which could stand for the first two, is not used: its pool gives up every trial in flight when one process is
killed (for lack of memory, say), and tells nothing of a trial before it ends.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.cores import available_cpus
from rnnbench.trials.executors.account import Account, Event, Interrupted, Summary, TimeIsUp
from rnnbench.trials.store import Store
from rnnbench.trials.trial import Trial

__all__ = ["Event", "Interrupted", "Summary", "run_all"]


def run_all(
    trials: Iterable[Trial],
    store: Store,
    processes: int | None = None,
    scheduler: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    where: Callable[[], Mapping[str, Any]] | Mapping[str, Any] | None = None,
    deadline: float | None = None,
) -> Summary:
    """Run the trials whose key is not in ``store`` yet, and add each one's record when it ends.

    Parameters
    ----------
    processes : at a time, each on one thread (None: one for each core; 0: in this process, one after the other).
        They are spawned, so a script that asks for them needs ``if __name__ == "__main__":``.
    scheduler : address of a dask.distributed scheduler, such as "tcp://10.0.0.1:8786": the trials run on its workers,
        which must have this version of rnnbench and one thread each.
    on_event : called here, in order.
    where : facts on the machine, for the records. On a cluster it must be a function, such as
        ``rnnbench.measure.machine_facts``: each worker calls it for itself.
    deadline : in seconds of ``time.monotonic``. No trial goes on after it; those that were not finished by then are
        in ``Summary.left``.

    A trial that fails is reported and the others go on. One whose process or worker dies is run once more, after the
    others. Raises Interrupted after Ctrl-C; then, as after any other end, nothing is left running. Raises
    RnnbenchError for a store that cannot be written to and for a cluster that cannot be used: what had finished by
    then is stored.
    """
    if scheduler is not None and processes is not None:
        raise RnnbenchError("processes are for this machine, and scheduler for a cluster: give one of the two")
    if processes is not None and (isinstance(processes, bool) or not isinstance(processes, int) or processes < 0):
        raise RnnbenchError(f"processes must be a whole number of at least 0, got {processes!r}")
    account = Account(trials, store, on_event, deadline)
    count = min(available_cpus() if processes is None else processes, len(account.waiting))
    try:
        if not account.waiting:
            pass
        elif scheduler is not None:
            from rnnbench.trials.executors import cluster

            cluster.work(account, scheduler, _asked_there(where))
        elif count == 0:
            from rnnbench.trials.executors import here

            here.work(account, _asked_here(where))
        else:
            from rnnbench.trials.executors import processes as local

            local.work(account, count, _asked_here(where))
    except TimeIsUp:
        pass
    except KeyboardInterrupt:
        raise Interrupted(account.done, account.total) from None
    return account.summary()


def _asked_here(where: Callable[[], Mapping[str, Any]] | Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(where() if callable(where) else where or {})


def _asked_there(
    where: Callable[[], Mapping[str, Any]] | Mapping[str, Any] | None,
) -> Callable[[], Mapping[str, Any]] | None:
    if where is None or callable(where):
        return where
    raise RnnbenchError("on a cluster each worker is another machine: where must be a function that each calls")
