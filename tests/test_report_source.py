"""What a report is read from: a run's files, asv's files, and files that are neither."""

import json
import os
import sqlite3
from types import SimpleNamespace

import pytest
from report_records import MACHINE, small_run, time_record, trial_record

from rnnbench.errors import RnnbenchError
from rnnbench.report import asv_results, check_output, figures, history, source, tables, verdict
from rnnbench.trials.store import Store

asv_format = pytest.importorskip("asv.results", reason="asv is in the extra [test]")

BENCHMARKS = {
    "speed.Training.time_training": (
        "time",
        "seconds",
        ["cell", "TxBxIxH"],
        [["gru", "lstm"], ["100x32x128x128", "10x1x8x8"]],
    ),
    "memory.Workspace.track_workspace": (
        "track",
        "bytes",
        ["cell", "mode"],
        [["gru", "lstm"], ["forward", "training"]],
    ),
    "memory.Peak.peakmem_baseline": ("peakmemory", "bytes", ["cell"], [["gru", "lstm"]]),
    "memory.Peak.peakmem_training": ("peakmemory", "bytes", ["cell"], [["gru", "lstm"]]),
    "error.LongRange.track_error": (
        "track",
        "1 - score",
        ["cell", "task", "length"],
        [["gru", "lstm"], ["adding"], [20, 60]],
    ),
    "compile.track_kernels": ("track", "unit", [], []),
}
VALUES: dict[str, list[float | None]] = {
    "speed.Training.time_training": [2e-3, None, 3e-3, float("nan")],
    "memory.Workspace.track_workspace": [2**20, 4 * 2**20, 2**20, 5 * 2**20],
    "memory.Peak.peakmem_baseline": [100 * 2**20, 100 * 2**20],
    "memory.Peak.peakmem_training": [107 * 2**20, 109 * 2**20],
    "error.LongRange.track_error": [0.1, 0.6, 0.05, 0.9],
    "compile.track_kernels": [7],
}


def write_asv(folder, commits, scale=1.0, machine="secret-host"):
    """Write result files with asv's own code; time grows by ``scale`` with each commit."""
    results = folder / "results"
    (results / machine).mkdir(parents=True)
    facts = {
        "machine": machine,
        "cpu": "Test CPU",
        "arch": "x86_64",
        "num_cpu": "2",
        "os": "Linux",
        "ram": "8",
        "version": 1,
    }
    (results / machine / "machine.json").write_text(json.dumps(facts))
    known = {}
    for name, (kind, unit, names, params) in BENCHMARKS.items():
        texts = [[repr(value) for value in values] for values in params]
        known[name] = {"name": name, "type": kind, "unit": unit, "param_names": names, "params": texts, "version": "1"}
    (results / "benchmarks.json").write_text(json.dumps({**known, "version": 2}))
    for number, commit in enumerate(commits):
        held = asv_format.Results(
            {"machine": machine}, {}, commit, 1_700_000_000_000 + 86_400_000 * number, "3.11", "env", {}
        )
        for name, benchmark in known.items():
            timed = benchmark["type"] == "time"
            factor = scale**number if timed else 1
            values = [None if value is None else value * factor for value in VALUES[name]]
            samples = [[v * f for f in (0.98, 0.99, 1, 1.01, 1.02)] if timed and v and v == v else None for v in values]
            numbers = [1 if one else None for one in samples]
            result = SimpleNamespace(result=values, samples=samples, number=numbers, stderr="", errcode=0, profile=None)
            held.add_result(benchmark, result, record_samples=True)
        held.save(str(results))
    return folder


@pytest.fixture
def run_folder(tmp_path):
    """Return a folder with a store of three records and no results.json, as a killed run leaves it."""
    with Store(tmp_path / "results.sqlite") as store:
        for one in small_run()[:3]:
            assert store.add(one)
    return tmp_path


def test_killed_run_is_read_from_its_store(run_folder):
    found = source.read(run_folder)
    assert found.records == small_run()[:3]
    assert found.machine == MACHINE


def test_results_json_reads_back_what_was_written(tmp_path):
    written = source.Source(small_run(), MACHINE, "rnnbench run --quick", "2026-01-01T00:00:00+00:00", "9.9.9")
    (tmp_path / "results.json").write_text(json.dumps(written.to_json(), allow_nan=False))
    assert source.read(tmp_path) == written


def test_numbers_that_are_not_finite_become_null_and_stay_readable(tmp_path):
    diverged = trial_record("gru", "adding", 10, 0, False) | {
        "loss": float("nan"),
        "curve": [[1, 2.0], [2, float("inf")]],
    }
    body = source.Source([diverged], MACHINE, "x", "2026", "0").to_json()
    assert body["records"][0]["curve"] == [[1, 2.0], [2, None]]
    (tmp_path / "results.json").write_text(json.dumps(body, allow_nan=False))
    assert source.read(tmp_path).records[0]["loss"] is None


def results(tmp_path, **changes):
    body = source.Source(small_run(), MACHINE, "x", "2026", "0").to_json()
    (tmp_path / "results.json").write_text(json.dumps({**body, **changes}))


def bad_record(**changes):
    return [{**time_record("gru", [1.0, 2.0, 3.0]), **changes}]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 2}, "written by another version of rnnbench: schema 2, this one reads 1"),
        ({"records": {}}, "'records' is missing or of another type"),
        ({"command": None}, "'command' is missing or of another type"),
        ({"records": bad_record(schema=7)}, "written by another version of rnnbench: schema 7"),
        ({"records": bad_record(kind="colour")}, "cannot be read: kind"),
        ({"records": bad_record(samples="fast")}, "cannot be read: time.samples"),
        ({"records": bad_record(median="1")}, "cannot be read: time.median"),
        ({"records": bad_record(cell=None)}, "cannot be read: time.cell"),
        ({"records": ["gru"]}, "names no schema"),
    ],
)
def test_other_versions_and_broken_records_are_refused(tmp_path, changes, sentence):
    results(tmp_path, **changes)
    with pytest.raises(RnnbenchError, match=sentence) as caught:
        source.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"machine": {}}', "\x00\xff"])
def test_files_that_are_not_results_are_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text, encoding="latin-1")
    before = path.read_bytes()
    for action in (source.read, check_output):
        with pytest.raises(RnnbenchError, match=r"results\.json") as caught:
            action(tmp_path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_empty_missing_and_foreign_folders_are_refused(tmp_path):
    with pytest.raises(RnnbenchError, match="holds no results"):
        source.read(tmp_path)
    with pytest.raises(RnnbenchError, match="there is no folder"):
        source.read(tmp_path / "nowhere")
    (tmp_path / "results.sqlite").write_bytes(b"not a database, by any means at all" * 40)
    with pytest.raises(RnnbenchError, match="not a results file of rnnbench"):
        source.read(tmp_path)


def test_store_with_a_damaged_record_is_refused(run_folder):
    connection = sqlite3.connect(run_folder / "results.sqlite")
    with connection:
        connection.execute("UPDATE records SET body = x'00ff'")
    connection.close()
    with pytest.raises(RnnbenchError, match=r"results\.sqlite") as caught:
        source.read(run_folder)
    assert "\n" not in str(caught.value)


def test_output_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RnnbenchError, match="cannot write to the output folder"):
        check_output(tmp_path / "file" / "inside")
    if os.geteuid() != 0:  # root may write anywhere
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(RnnbenchError, match="cannot write to the output folder"):
            check_output(closed)


def test_asv_results_answer_the_same_questions(tmp_path):
    found = source.read(write_asv(tmp_path, ["a" * 40]))
    fastest, smallest, longest = verdict.answers(found.records)
    assert (fastest.winner, smallest.winner, longest.winner) == ("gru", "gru", "gru")
    assert "2.00 ms for a training step (forward and backward of a batch) at T=100 B=32 I=128 H=128" in fastest.sentence
    assert "4.00 MiB of workspace" in smallest.sentence
    assert "mean score of 0.650" in longest.sentence
    assert "not recorded" in longest.sentence
    assert {one["length"] for one in (r["trial"] for r in found.records if r["kind"] == "trial")} == {20, 60}


def test_asv_values_reach_the_tables_and_its_host_name_does_not(tmp_path):
    found = source.read(write_asv(tmp_path, ["a" * 40]))
    latest = history.latest_table(found.history)
    assert latest is not None
    shown = {(row[0].text, row[1].text): row[3].text for row in latest.rows}
    assert shown["speed.Training.time_training", "gru, TxBxIxH=100x32x128x128"] == "2.00 ms"
    assert shown["error.LongRange.track_error", "lstm, adding, length=20"] == "0.0500"
    assert shown["compile.track_kernels", ""] == "7.00 unit"
    # null is a failed combination and NaN a skipped one.
    assert ("speed.Training.time_training", "gru, TxBxIxH=10x1x8x8") not in shown
    assert ("speed.Training.time_training", "lstm, TxBxIxH=10x1x8x8") not in shown
    assert len(shown) == sum(v is not None and v == v for values in VALUES.values() for v in values)
    growth = {r["cell"]: r["peak_growth_bytes"] for r in found.records if r.get("peak_growth_bytes") is not None}
    assert growth == {"gru": 7 * 2**20, "lstm": 9 * 2**20}
    assert "secret-host" not in json.dumps(found.to_json())
    assert found.machine["cpu"] == "Test CPU"


def test_history_is_drawn_over_commits_and_its_changes_named(tmp_path):
    commits = [letter * 40 for letter in "abc"]
    found = source.read(write_asv(tmp_path, commits, scale=1.5))
    drawn = history.figures(found.history, figures.palette_of(found.records))
    assert {figure.title for figure in drawn} == set(BENCHMARKS)
    changes = history.changes_table(found.history)
    assert changes is not None
    results = {(row[0].text, row[-1].text, row[-2].text) for row in changes.rows}
    assert ("speed.Training.time_training", "worse", "1.50×") in results
    assert ("memory.Workspace.track_workspace", "no clear change", "1.00×") in results
    fastest = verdict.answers(found.records)[0]
    assert "4.50 ms" in fastest.sentence  # the newest commit: 2 ms * 1.5 ** 2


def test_one_commit_has_no_history(tmp_path):
    found = source.read(write_asv(tmp_path, ["a" * 40]))
    assert history.figures(found.history, figures.palette_of(found.records)) == []
    assert history.changes_table(found.history) is None


def test_asv_results_folder_itself_is_recognised(tmp_path):
    place = write_asv(tmp_path / "asv", ["a" * 40])
    assert asv_results.home(place) == asv_results.home(place / "results") == place
    assert asv_results.home(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", '{"version": 1}', '{"version": 2, "results": 3}', "[]"])
def test_asv_files_that_are_broken_or_of_another_version_are_refused(tmp_path, text):
    place = write_asv(tmp_path, ["a" * 40])
    (place / "results" / "secret-host" / "aaaaaaaa-env.json").write_text(text)
    with pytest.raises(RnnbenchError, match="aaaaaaaa-env.json") as caught:
        source.read(place)
    assert "\n" not in str(caught.value)


def test_raw_tables_of_asv_leave_out_what_it_does_not_know(tmp_path):
    found = source.read(write_asv(tmp_path, ["a" * 40]))
    by_name = {table.name: table for table in tables.raw_tables(found.records)}
    assert set(by_name) == {"trials", "times", "memory"}
    assert "solved" not in by_name["trials"].columns
    assert "error against reference" not in by_name["times"].columns
