"""Trials on the workers of a dask cluster: the same numbers to the bit, dying workers, wrong workers, stopping."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

import rnnbench
from rnnbench.errors import RnnbenchError
from rnnbench.measure import machine_facts
from rnnbench.trials import Interrupted, Store, Trial, run_all
from rnnbench.trials.executors import cluster as executor

distributed = pytest.importorskip("distributed")
SMALL: dict[str, Any] = {"cell": "gru", "task": "adding", "length": 4, "hidden": 5, "steps": 20, "batch": 4}
MANY_STEPS = 100_000
# What a run decides; the rest of a record is when and where it ran.
VARIES = ("seconds", "created", "where")


def small(**fields: Any) -> Trial:
    return Trial(**(SMALL | fields))


def grid(count: int, **fields: Any) -> list[Trial]:
    return [small(seed=seed, **fields) for seed in range(count)]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers of one thread each, in processes that are started again when they die."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
    ) as started:
        yield started


def pids(cluster: Any) -> dict[str, int]:
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        return client.run(os.getpid)


def test_one_result_wherever_a_trial_runs(cluster, tmp_path):
    trials = [small(engine=engine, cell=cell) for engine in ("cpu", "reference") for cell in ("lstm", "gru")]
    trials.append(small(cell="mlp_window"))
    ways: dict[str, dict[str, Any]] = {
        "here": {"processes": 0},
        "processes": {"processes": 2},
        "cluster": {"scheduler": cluster.scheduler_address},
    }
    results = {}
    for name, way in ways.items():
        with Store(tmp_path / f"{name}.sqlite") as store:
            summary = run_all(trials, store, where=machine_facts, **way)
            assert (summary.finished, summary.failed, summary.left) == (len(trials), [], [])
            records = {record["key"]: record for record in store.records("trial")}
        assert all(record["where"] == machine_facts() for record in records.values())
        for record in records.values():
            for field in VARIES:
                del record[field]
        results[name] = records
    assert results["here"] == results["processes"] == results["cluster"]


def test_a_worker_that_is_killed_loses_nothing_and_repeats_nothing(cluster, store):
    trials, events = grid(6, steps=1500, evaluate_every=1500), []
    alive = pids(cluster)
    killed = []

    def on_event(event):
        events.append(event)
        if event.kind == "progress" and not killed:
            killed.append(alive.popitem()[1])
            os.kill(killed[0], signal.SIGKILL)

    summary = run_all(trials, store, scheduler=cluster.scheduler_address, on_event=on_event)
    assert killed
    assert (summary.finished, summary.failed) == (6, [])
    finished = [event.trial.key for event in events if event.kind == "finished"]
    assert sorted(finished) == sorted(trial.key for trial in trials), "each once"
    assert store.keys() == set(finished)
    assert [event.done for event in events if event.kind == "finished"] == [1, 2, 3, 4, 5, 6]
    lost = [event for event in events if event.kind == "lost"]
    assert len(lost) == 1
    assert lost[0].message.startswith("its worker tcp://")


def test_progress_comes_from_the_workers_and_ctrl_c_ends_their_work(cluster, store):
    pids(cluster)
    seen = []

    def on_event(event):
        if event.kind == "progress":
            seen.append(event)
            if len({event.trial.key for event in seen}) == 2:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="0 of 2"):
        run_all(
            grid(2, steps=MANY_STEPS, evaluate_every=MANY_STEPS),
            store,
            scheduler=cluster.scheduler_address,
            on_event=on_event,
        )
    assert all(0 < event.step < MANY_STEPS and event.loss > 0 for event in seen)
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        deadline = time.monotonic() + 20
        while any(client.run(busy).values()):
            assert time.monotonic() < deadline, "a worker still trains what nobody waits for"
            time.sleep(0.1)


def busy(dask_worker: Any) -> int:
    return len(dask_worker.active_threads)


def test_what_a_worker_cannot_do_is_reported_and_the_others_go_on(cluster, store, tmp_path):
    pids(cluster)
    file = tmp_path / "mine.py"
    text = "from rnnbench.lang import cell, tanh\n\n@cell('h')\ndef mine(x, R, h):\n    return tanh(x.h + R.h(h))\n"
    file.write_text(text)
    trial = small(cell=f"{file}:mine")
    assert trial.key
    file.write_text(text.replace("x.h", "2 * x.h"))  # as if the worker's machine had another file of that name
    summary = run_all([trial, *grid(1)], store, scheduler=cluster.scheduler_address)
    assert summary.finished == 1
    ((failed, message),) = summary.failed
    assert failed == trial
    assert message.startswith("the cell's equations or the task's data on worker tcp://")


def test_a_deadline_leaves_the_rest(cluster, store):
    pids(cluster)
    trials = grid(4, steps=MANY_STEPS, evaluate_every=MANY_STEPS)
    summary = run_all(trials, store, scheduler=cluster.scheduler_address, deadline=time.monotonic() + 1.0)
    assert summary.left == trials
    assert (summary.finished, summary.failed, len(store)) == (0, [], 0)


def test_another_version_on_a_worker_is_refused(cluster, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(rnnbench, "__version__", "99.0")
        with pytest.raises(RnnbenchError, match=r"worker tcp://\S+ has rnnbench \S+, and this process 99\.0"):
            run_all(grid(1), store, scheduler=cluster.scheduler_address)
    monkeypatch.setattr(executor, "source_digest", lambda: "edited")
    with pytest.raises(RnnbenchError, match="with other source files than this process"):
        run_all(grid(1), store, scheduler=cluster.scheduler_address)


def test_workers_with_several_threads_are_refused(store):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as threaded,
        pytest.raises(RnnbenchError, match="has 2 threads, and a trial needs a process of its own"),
    ):
        run_all(grid(1), store, scheduler=threaded.scheduler_address)


def test_a_scheduler_that_cannot_be_used_is_told(store, monkeypatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    with pytest.raises(RnnbenchError, match="no dask scheduler answers at 'tcp://127.0.0.1:9'"):
        run_all(grid(1), store, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(RnnbenchError, match="no dask scheduler answers at 'nonsense"):
        run_all(grid(1), store, scheduler="nonsense://x")
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty:
        with pytest.raises(RnnbenchError, match="has no workers: start some with 'dask worker inproc"):
            run_all(grid(1), store, scheduler=empty.scheduler_address)
    with pytest.raises(RnnbenchError, match="give one of the two"):
        run_all(grid(1), store, processes=2, scheduler="tcp://127.0.0.1:9")


def test_facts_of_a_cluster_are_asked_on_its_workers(store):
    with pytest.raises(RnnbenchError, match="where must be a function"):
        run_all(grid(1), store, scheduler="tcp://127.0.0.1:9", where={"cpu": "of this machine"})
