"""Many trials, in this process or in several: resuming, dying workers, deadlines, Ctrl-C, SIGKILL."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.trials import Interrupted, Result, Store, Trial, run_all, run_trial

SMALL: dict[str, Any] = {
    "cell": "gru",
    "task": "adding",
    "length": 4,
    "hidden": 5,
    "engine": "reference",
    "steps": 20,
    "batch": 4,
}
# Minutes, unless it is stopped.
SLOW: dict[str, Any] = SMALL | {"length": 100, "steps": 100_000, "evaluate_every": 100_000}


def grid(count: int) -> list[Trial]:
    return [small(seed=seed) for seed in range(count)]


def small(**fields: Any) -> Trial:
    return Trial(**(SMALL | fields))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_process_is_left_behind():
    yield
    assert multiprocessing.active_children() == []


def test_every_trial_is_run_once_and_stored(store):
    trials, events = grid(3), []
    summary = run_all([*trials, trials[0]], store, processes=2, on_event=events.append, where={"cpu": "some"})
    assert (summary.total, summary.finished, summary.resumed, summary.failed) == (3, 3, 0, [])
    assert store.keys("trial") == {trial.key for trial in trials}
    for trial in trials:
        told = [event.kind for event in events if event.trial == trial]
        assert told[0] == "started"
        assert told[-1] == "finished"
        assert set(told[1:-1]) <= {"progress"}
    last = events[-1]
    assert (last.kind, last.done, last.total, last.seconds_left) == ("finished", 3, 3, 0)
    assert store.get(last.trial.key) == last.record
    assert last.record["where"] == {"cpu": "some"}


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_a_process_of_its_own_changes_no_number(store, engine):
    trial = small(engine=engine)
    run_all([trial], store, processes=1)
    record = store.get(trial.key)
    assert record is not None
    there, here = Result.from_record(record), run_trial(trial)
    for name in ("score", "loss", "curve", "validation", "steps", "params", "clipped"):
        assert getattr(there, name) == getattr(here, name)


def test_what_is_stored_is_not_run_again(store):
    trials, events = grid(3), []
    run_all(trials[:2], store, processes=0)
    before = store.records()
    summary = run_all(trials, store, processes=0, on_event=events.append)
    assert (summary.total, summary.finished, summary.resumed) == (3, 1, 2)
    assert {event.trial.key for event in events} == {trials[2].key}
    assert (events[0].done, events[0].total) == (2, 3)
    assert store.records()[:2] == before
    events.clear()
    assert run_all(trials, store, processes=1, on_event=events.append).resumed == 3
    assert events == []


@pytest.mark.parametrize("processes", [0, 1])
def test_progress_is_told_with_the_time_that_is_left(store, processes):
    told = []

    def on_event(event):
        if event.kind == "progress":
            told.append(event)
            if len(told) == 3:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run_all([Trial(**SLOW)], store, processes=processes, on_event=on_event)
    assert 0 < told[0].step < told[1].step < told[2].step < SLOW["steps"]
    assert all(event.loss > 0 and event.seconds_left > 1 for event in told)


@pytest.mark.parametrize("processes", [0, 1])
def test_a_trial_that_cannot_run_is_reported_and_the_others_go_on(store, tmp_path, processes):
    file = tmp_path / "mine.py"
    file.write_text(
        "from rnnbench.lang import cell, tanh\n\n@cell('h')\ndef mine(x, R, h):\n    return tanh(x.h + R.h(h))\n"
    )
    broken = small(cell=f"{file}:mine")
    assert broken.key
    file.unlink()
    events = []
    summary = run_all([broken, *grid(1)], store, processes=processes, on_event=events.append)
    assert summary.finished == 1
    assert summary.failed == [(broken, f"cell '{file}:mine': no file '{file}'; write path/to/file.py:cell")]
    assert [event.kind for event in events if event.trial == broken] == ["started", "failed"]
    assert broken.key not in store


def test_a_process_that_is_killed_loses_nothing_and_repeats_nothing(store):
    budget = {"engine": "cpu", "steps": 2500, "evaluate_every": 2500}
    trials, events = [small(seed=seed, **budget) for seed in range(4)], []

    def on_event(event):
        events.append(event)
        if event.kind == "progress" and not any(event.kind == "lost" for event in events):
            multiprocessing.active_children()[0].kill()

    summary = run_all(trials, store, processes=2, on_event=on_event)
    assert (summary.finished, summary.failed, summary.left) == (4, [], [])
    lost = [event for event in events if event.kind == "lost"]
    assert lost
    assert all(event.message == "its process was killed (SIGKILL, perhaps for lack of memory)" for event in lost)
    finished = [event.trial.key for event in events if event.kind == "finished"]
    assert sorted(finished) == sorted(trial.key for trial in trials), "each once"
    assert store.keys() == set(finished)
    started = [event.trial.key for event in events if event.kind == "started"]
    assert len(started) == 4 + len(lost)


def test_a_trial_whose_processes_are_killed_again_is_given_up_and_the_others_go_on(store):
    slow, events = Trial(**SLOW), []

    def on_event(event):
        events.append(event)
        if event.kind == "progress" and event.trial == slow:
            (worker,) = multiprocessing.active_children()
            worker.kill()

    summary = run_all([slow, *grid(2)], store, processes=1, on_event=on_event)
    assert summary.finished == 2
    ((trial, message),) = summary.failed
    assert trial == slow
    assert message == "its process was killed (SIGKILL, perhaps for lack of memory), 2 times"
    assert events[-1].done == 2
    assert store.keys() == {trial.key for trial in grid(2)}


def test_an_interrupt_says_how_many_are_done(store):
    def on_event(event):
        if event.kind == "finished":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="1 of 4 trials are stored; the same command resumes"):
        run_all(grid(4), store, processes=2, on_event=on_event)
    assert len(store) == 1


def test_the_number_of_processes_is_checked(store):
    for wrong in (-1, 1.5, True):
        with pytest.raises(RnnbenchError, match=f"processes must be a whole number of at least 0, got {wrong}"):
            run_all(grid(1), store, processes=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("processes", [0, 2])
def test_a_deadline_leaves_the_rest(store, processes):
    trials = [*grid(1), *(Trial(**SLOW, seed=seed) for seed in range(1, 4))]
    run_all(trials[:1], store, processes=0)
    begun, events = time.monotonic(), []
    summary = run_all(trials, store, processes=processes, on_event=events.append, deadline=begun + 1)
    assert 1 <= time.monotonic() - begun < 10
    assert (summary.total, summary.resumed, summary.finished, summary.failed) == (4, 1, 0, [])
    assert summary.left == trials[1:]
    assert len(store) == 1
    assert events[0].kind == "started"
    events.clear()
    summary = run_all(trials, store, processes=processes, on_event=events.append, deadline=begun)
    assert (events, summary.left) == ([], trials[1:]), "nothing is begun after it"


def test_facts_of_the_machine_may_be_asked_for(store):
    run_all(grid(1), store, processes=0, where=lambda: {"cpu": "some"})
    assert [record["where"] for record in store.records()] == [{"cpu": "some"}]


def test_a_full_disk_ends_the_run_and_keeps_what_was_stored(store):
    events = []

    def on_event(event):
        events.append(event)
        if event.kind == "finished" and event.done == 1:
            pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
            store._connection.execute(f"PRAGMA max_page_count = {pages}")

    trials = grid(40)
    with pytest.raises(RnnbenchError, match="no room is left on the disk with .*results.sqlite: what was measured"):
        run_all(trials, store, processes=0, on_event=on_event)
    finished = {event.trial.key for event in events if event.kind == "finished"}
    assert 1 <= len(finished) < len(trials)
    assert store.keys() == finished
    store._connection.execute("PRAGMA max_page_count = 100000")
    summary = run_all(trials[: len(finished) + 1], store, processes=0)
    assert (summary.resumed, summary.finished) == (len(finished), 1)


# Whole runs, from outside

COUNT, ENDLESS = 6, 500
SWEEP = f"""
import sys
from rnnbench.trials import Interrupted, Store, Trial, run_all

def tell(event):
    if event.kind != "progress":
        print(event.kind, event.trial.key, flush=True)

if __name__ == "__main__":
    trials = [Trial(**{SMALL | {"steps": 50}}, seed=seed) for seed in range(int(sys.argv[2]))]
    with Store(sys.argv[1]) as store:
        try:
            summary = run_all(trials, store, processes=2, on_event=tell)
        except Interrupted as stop:
            print("stopped", stop.done, flush=True)
            sys.exit(130)
    print("end", summary.resumed, summary.finished, len(summary.failed))
"""


@pytest.fixture
def sweep(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SWEEP)
    started = []

    def start(count):
        command = [sys.executable, str(script), str(tmp_path / "results.sqlite"), str(count)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, text=True, start_new_session=True, stdout=pipe, stderr=pipe))
        return started[-1]

    yield start, tmp_path / "results.sqlite"
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def lines_until(process, kind, count):
    lines = []
    while sum(line[0] == kind for line in lines) < count:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        lines.append(line.split())
    return lines


def sound(path: Path):
    with sqlite3.connect(path) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return answer == "ok"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("after", [0, 2])
def test_after_sigkill_the_same_command_resumes_and_repeats_nothing(sweep, after):
    start, path = sweep
    run = start(COUNT)
    seen = lines_until(run, "finished", after) if after else lines_until(run, "started", 2)
    children = psutil.Process(run.pid).children(recursive=True)
    assert len(children) >= 2
    run.kill()
    seen += [line.split() for line in run.communicate()[0].splitlines()]
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == [], "workers must end with the process that started them"

    with Store(path) as store:
        stored = {record["key"]: record for record in store.records()}
    assert {line[1] for line in seen if line[0] == "finished"} <= set(stored)
    assert len(stored) < COUNT
    assert sound(path)

    again = start(COUNT)
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    lines = [line.split() for line in output.splitlines()]
    rerun = [line[1] for line in lines if line[0] == "started"]
    assert len(rerun) == COUNT - len(stored)
    assert not set(rerun) & set(stored)
    assert lines[-1] == ["end", str(len(stored)), str(len(rerun)), "0"]
    with Store(path) as store:
        everything = {record["key"]: record for record in store.records()}
    assert len(everything) == COUNT
    assert {key: everything[key] for key in stored} == stored
    assert sound(path)


def test_ctrl_c_stops_cleanly(sweep):
    start, path = sweep
    run = start(ENDLESS)
    lines_until(run, "finished", 1)
    time.sleep(0.1)  # into the middle of the next trials
    children = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors == ""
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    with Store(path) as store:
        assert output.splitlines()[-1] == f"stopped {len(store)}"
        assert 1 <= len(store) < ENDLESS
    assert sound(path)
