"""Whole runs of the command line, small: the folder it leaves, resuming, Ctrl-C and a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.cli import plan as planning
from rnnbench.cli.presets import QUICK, Preset
from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store

TINY = Preset(
    name="tiny",
    cells=("indrnn", "mgu"),  # no peer has them: none is started
    shapes=((5, 2, 3, 4),),
    samples=2,
    max_seconds=0.01,
    memory=((5, 2, 3, 4),),
    compiled=None,
    tasks=("adding",),
    lengths={"adding": (4, 6)},
    seeds=2,
    training={"hidden": 4, "steps": 3, "evaluate_every": 3},
)
FILES = {"report.html", "summary.md", "results.json", "results.sqlite"}
# The command line with that preset, but trials that take minutes, in a process of its own.
DRIVER = """
import dataclasses
from rnnbench.cli import main, plan
from rnnbench.cli.presets import Preset

if __name__ == "__main__":
    preset = {preset!r}
    training = preset.training | {{"steps": 1_000_000, "evaluate_every": 500}}
    plan.QUICK = dataclasses.replace(preset, cells=("indrnn",), memory=(), training=training)
    main()
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "QUICK", TINY)
    return tmp_path


def invoke(*arguments: str):
    return CliRunner().invoke(app, [*arguments, "--quick", "--engine", "reference", "--processes", "1"])


def stored(folder: Path) -> list[dict]:
    with Store(folder / "results.sqlite", read_only=True) as store:
        return store.records()


def test_a_run_leaves_four_files_and_a_second_one_measures_nothing(tiny, monkeypatch):
    result = invoke("run")
    assert result.exit_code == 0, result.output
    folder = tiny / "reports" / "latest"
    assert FILES <= {path.name for path in folder.iterdir()}
    records = stored(folder)
    kinds = [record["kind"] for record in records]
    assert kinds.count("trial") == 2 * 2 * 2, "cells x lengths x seeds"
    assert kinds.count("memory") == kinds.count("compile") == 2
    own = [record for record in records if record["kind"] == "time" and record["contender"] == "rnnbench.reference"]
    assert {(record["cell"], record["mode"]) for record in own} == {
        (cell, mode) for cell in ("indrnn", "mgu") for mode in ("forward", "training")
    }
    assert all(len(record["samples"]) == 2 for record in own)
    body = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert body["schema"] == 1
    assert len(body["records"]) == len(records)
    assert "Remembers longest" in result.stdout
    assert "Report: reports/latest/report.html" in result.stdout

    def again(*_, **__):
        raise AssertionError("it is in the store already")

    import rnnbench.measure as measure

    for name in ("Contest", "memory_use", "compile_times"):
        monkeypatch.setattr(measure, name, again)
    result = invoke("run")
    assert result.exit_code == 0, result.output
    assert stored(folder) == records


def test_a_cell_and_a_column_of_the_readers_own(tiny):
    (tiny / "mine.py").write_text(
        '"""My cell.\n\nNobody 2026.\n"""\n'
        "from rnnbench.lang import cell, tanh\n\n\n"
        "@cell(states='h')\ndef mine(x, R, b, h):\n    return tanh(x.a + R.a(h) + b.a)\n",
        encoding="utf-8",
    )
    rows = "\n".join(str(100 + day % 7) for day in range(40))
    (tiny / "prices.csv").write_text(f"close\n{rows}\n", encoding="utf-8")
    result = invoke("run", "--cell", "mine.py:mine", "--task", "forecast:prices.csv:close", "--window", "3")
    assert result.exit_code == 0, result.output
    trials = [record["trial"] for record in stored(tiny / "reports" / "latest") if record["kind"] == "trial"]
    assert {(trial["cell"], trial["task"], trial["length"]) for trial in trials} == {
        ("mine.py:mine", "forecast:prices.csv:close", 3)
    }


def test_a_measurement_that_fails_is_named_and_the_exit_code_is_1(tiny, monkeypatch):
    import rnnbench.measure as measure
    from rnnbench.errors import RnnbenchError

    def broken(*_, **__):
        raise RnnbenchError("no page could be counted")

    monkeypatch.setattr(measure, "memory_use", broken)
    result = invoke("run", "--output", "out")
    assert result.exit_code == 1
    assert "no memory of indrnn" in result.stderr
    assert "no page could be counted" in result.stderr
    assert (tiny / "out" / "report.html").is_file(), "what was measured is still reported"


def test_what_ran_on_one_engine_is_kept_when_another_breaks_down(tiny, monkeypatch):
    """As when the CPU's part of a comparison is there and the GPU fails in the middle of its own."""
    assert invoke("run", "--output", "out", "--cells", "indrnn").exit_code == 0
    before = stored(tiny / "out")
    import rnnbench.measure as measure

    class Broken:
        def __init__(self, *_):
            raise RnnbenchError("the device does not answer any more")

    monkeypatch.setattr(measure, "Contest", Broken)
    result = invoke("run", "--output", "out", "--cells", "indrnn,mgu", "--json")
    assert result.exit_code == 1
    said = "time: the device does not answer any more"
    assert said in result.stderr
    found = json.loads(result.stdout)
    assert (found["report"], found["failures"], found["left"]) == ("out/report.html", [said], [])
    after = stored(tiny / "out")
    assert found["records"] == after
    assert after[: len(before)] == before
    assert {record["kind"] for record in after[len(before) :]} == {"memory", "compile", "trial"}, "the rest went on"
    assert "mgu" in (tiny / "out" / "report.html").read_text(encoding="utf-8")


def test_a_full_disk_is_told_and_what_was_stored_stays(tiny, monkeypatch):
    from rnnbench.trials.store import NotStored

    add = Store.add

    def full(self, record):
        if len(self) == 3:
            raise NotStored("no room is left on the disk")
        return add(self, record)

    monkeypatch.setattr(Store, "add", full)
    result = invoke("run", "--output", "out")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "rnnbench: no room is left on the disk")
    assert len(stored(tiny / "out")) == 3


@pytest.fixture
def driver(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER.format(preset=TINY), encoding="utf-8")
    return tmp_path / "driver.py"


def start(driver: Path) -> subprocess.Popen:
    arguments = ["run", "--quick", "--engine", "reference", "--processes", "1", "--output", str(driver.parent / "out")]
    return subprocess.Popen(
        [sys.executable, str(driver), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=driver.parent,
        start_new_session=True,
    )


def wait_for_measurements(process: subprocess.Popen, folder: Path) -> int:
    """Wait until the compile time is stored, so that trials are under way, and return the number of records."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if (folder / "results.sqlite").exists():
            try:
                records = stored(folder)
            except RnnbenchError as error:
                if "nothing yet" not in str(error):
                    raise
                continue
            if sum(record["kind"] == "compile" for record in records) == 1:
                return len(records)
        time.sleep(0.2)
    raise AssertionError("the run did not get to its trials")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_a_run_that_is_stopped_keeps_what_it_has(driver, sent):
    folder = driver.parent / "out"
    process = start(driver)
    try:
        measured = wait_for_measurements(process, folder)
        time.sleep(1)
        # Ctrl-C in a terminal reaches the whole process group; a kill only the one process.
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)
        else:
            process.kill()
        _, told = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if sent == signal.SIGINT:
        assert process.returncode == 130, told
        assert "The same command resumes" in told
        assert "Traceback" not in told
    assert len(stored(folder)) == measured
    no_process_is_left(process.pid)
    page = CliRunner().invoke(app, ["report", str(folder)])
    assert page.exit_code == 0, page.output
    assert (folder / "report.html").is_file()


def no_process_is_left(group: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"a process of group {group} is still there")


@pytest.mark.slow
def test_the_quick_run_takes_at_most_three_minutes_from_a_cold_cache(tmp_path):
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "rnnbench", "run", "--quick", "--output", str(tmp_path / "out")],
        env={**os.environ, "RNNBENCH_CACHE_DIR": str(tmp_path / "cache")},
        check=True,
        timeout=400,
    )
    assert time.monotonic() - begun < 180
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert all(cell in summary for cell in QUICK.cells or ())
    assert "not measured" not in summary.lower().split("## ")[1]
