"""The command ``sweep``: what it prints, stores and reports, resuming, and that bad input is one sentence."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import rnnbench.trials
from rnnbench.cli import app
from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store
from rnnbench.trials.plan import preset_text, read_plan

DOCS = (Path(__file__).parents[1] / "docs" / "sweep.md").read_text(encoding="utf-8")
TINY = """
cells = ["gru", "elman_tanh", "mlp_last", "random_guess"]
tasks = ["adding"]
lengths = [4, 6]
seeds = 2
match = "parameters"
reference = "gru"

[settings]
hidden = 5
steps = 6
batch = 4
evaluate_every = 3
engine = "reference"

[search]
trials = 3
steps = 4
"""
# One of each: not trained again is what the tests below ask.
SEARCHED, REPORTED = 3 * 3, 4 * 2 * 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    return tmp_path


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the report, which takes seconds to draw: the first test has the whole of it."""
    monkeypatch.setattr("rnnbench.report.write_report", lambda folder, *_: folder / "report.html")


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["sweep", *arguments])


def sweep(*arguments: str) -> Any:
    result = invoke("tiny.toml", "--processes", "0", *arguments)
    assert result.exit_code == 0, result.output
    return result


def stored(folder: Path) -> list[dict[str, Any]]:
    with Store(folder / "results.sqlite", read_only=True) as store:
        return store.records()


def kinds(records: list[dict[str, Any]]) -> dict[str, int]:
    found = [record["kind"] for record in records]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


def test_a_sweep_matches_searches_trains_and_reports(folder):
    told = sweep("--json")
    document = json.loads(told.stdout)
    records = stored(folder / "reports" / "tiny")
    assert kinds(records) == {"match": 6, "search_trial": SEARCHED, "search": 3, "trial": REPORTED}
    assert kinds(document["records"]) == {"match": 6, "search": 3, "trial": REPORTED}
    assert document["failures"] == []
    chosen = {record["cell"]: record["learning_rate"] for record in records if record["kind"] == "search"}
    sizes = {(one["cell"], one["length"]): one["hidden"] for one in records if one["kind"] == "match"}
    for record in records:
        trial = record.get("trial", {})
        if record["kind"] == "trial" and trial["cell"] != "random_guess":
            assert trial["learning_rate"] == chosen[trial["cell"]]
            assert trial["hidden"] == sizes[trial["cell"], trial["length"]]
            assert trial["seed"] in (0, 1)
        elif record["kind"] == "search_trial":
            assert (trial["seed"], trial["length"], record["steps"]) == (1000, 4, 4)
    summary = (folder / "reports" / "tiny" / "summary.md").read_text(encoding="utf-8")
    assert "Learning rates" in summary
    assert "Matched sizes" in summary
    for rate in chosen.values():
        assert f"| {rate:g}" in summary
    assert re.search(r"random\\?_guess \(control\)", summary), "marked in tables"
    assert (folder / document["report"]).is_file()


def test_dry_run_says_what_will_be_and_leaves_nothing(folder):
    document = json.loads(sweep("--dry-run", "--json").stdout)
    assert (document["search_trials"], document["trials"]) == (SEARCHED, REPORTED)
    assert document["seconds"]["trials"] > document["seconds"]["search"] > 0
    rows = {(row["cell"], row["length"]): row for row in document["rows"]}
    assert rows["gru", 4]["hidden"] == 5
    assert rows["elman_tanh", 4]["hidden"] > 5
    assert abs(rows["elman_tanh", 4]["params"] / rows["gru", 4]["params"] - 1) == abs(rows["elman_tanh", 4]["miss"])
    assert rows["gru", 6]["search"]["at"] == 4, "the median: of two the lower"
    assert rows["random_guess", 4]["search"] is None
    table = sweep("--dry-run").stdout
    assert "3 × 4 steps at T=4" in table
    assert "its own" in table
    assert "At most" in table
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.toml"]


def test_an_estimate_may_come_from_a_sample_that_is_trained_and_thrown_away(folder, monkeypatch):
    real, asked = rnnbench.trials.run_all, []

    def run_all(trials, *arguments, **more):
        asked.append([trial.key for trial in trials])
        return real(trials, *arguments, **more)

    monkeypatch.setattr(rnnbench.trials, "run_all", run_all, raising=False)
    document = json.loads(sweep("--dry-run", "--sample", "0.25", "--json").stdout)
    assert [len(keys) for keys in asked] == [3, 4], "a quarter of each part, rounded up"
    assert document["sample"] == 0.25
    assert all(seconds > 0 for seconds in document["seconds"].values())
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.toml"]


@pytest.mark.parametrize("stop_after", [4, 13])
def test_a_sweep_that_is_stopped_goes_on_and_trains_nothing_twice(folder, no_report, monkeypatch, stop_after):
    from rnnbench.trials.run import run_trial

    ran: list[str] = []

    def counting(trial, progress=None):
        if len(ran) == stop_after:
            raise KeyboardInterrupt
        ran.append(trial.key)
        return run_trial(trial, progress)

    monkeypatch.setattr("rnnbench.trials.executors.here.run_trial", counting)
    stopped = invoke("tiny.toml", "--processes", "0", "--output", "out")
    assert stopped.exit_code == 130, stopped.output
    assert "The same command resumes" in stopped.stderr
    before = {record["key"] for record in stored(folder / "out")}
    stop_after = -1
    sweep("--output", "out")
    assert len(ran) == len(set(ran)) == SEARCHED + REPORTED
    assert before < {record["key"] for record in stored(folder / "out")}
    sweep("--output", "out")
    assert len(ran) == SEARCHED + REPORTED


def test_a_budget_of_time_ends_a_sweep_that_goes_on_later(folder, no_report, monkeypatch):
    told = sweep("--budget", "0.000001s")
    assert "The time is up" in told.stderr
    assert kinds(stored(folder / "reports" / "tiny")).keys() <= {"match", "search_trial"}
    sweep("--budget", "10m")
    assert kinds(stored(folder / "reports" / "tiny"))["trial"] == REPORTED


def test_processes_change_no_number(folder, no_report):
    (folder / "tiny.toml").write_text(TINY.replace('"elman_tanh", "mlp_last", "random_guess"', '"mlp_last"'))
    sweep("--output", "here")
    result = invoke("tiny.toml", "--processes", "2", "--output", "there")
    assert result.exit_code == 0, result.output
    told = []
    for output in ("here", "there"):
        kept = [{k: v for k, v in one.items() if k not in ("created", "seconds")} for one in stored(folder / output)]
        told.append(sorted(kept, key=lambda record: record["key"]))
    assert told[0] == told[1]


def test_a_failure_is_named_and_the_exit_code_is_1(folder, no_report, monkeypatch):
    from rnnbench.trials.run import run_trial

    def broken(trial, progress=None):
        if trial.cell == "gru" and trial.purpose == "search":
            raise RnnbenchError("no room for it")
        return run_trial(trial, progress)

    monkeypatch.setattr("rnnbench.trials.executors.here.run_trial", broken)
    result = invoke("tiny.toml", "--processes", "0")
    assert result.exit_code == 1
    assert "no room for it" in result.stderr
    records = stored(folder / "reports" / "tiny")
    assert {one["trial"]["cell"] for one in records if one["kind"] == "trial"} == {
        "elman_tanh",
        "mlp_last",
        "random_guess",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a sweep needs a plan: a TOML file, or --preset small or standard"),
        (("tiny.toml", "--preset", "small"), "give a plan file or --preset, not both"),
        (("--preset", "smal"), "unknown preset of a sweep 'smal'; did you mean small"),
        (("nowhere.toml",), "cannot read plan nowhere.toml: no such file or directory"),
        (("bad.toml",), "plan bad.toml: unknown plan field 'seed'; did you mean seeds"),
        (("impossible.toml",), "cannot be matched by state to gru with H=1 on adding"),
        (("tiny.toml", "--budget", "soon"), "--budget takes a time such as 90s, 10m or 8h, got 'soon'"),
        (("tiny.toml", "--sample", "0.1"), "--sample takes a share above 0 and at most 1, along with --dry-run"),
        (("tiny.toml", "--dry-run", "--sample", "2"), "--sample takes a share"),
    ],
)
def test_bad_input_is_one_sentence_and_trains_nothing(folder, arguments, said):
    (folder / "bad.toml").write_text('cells = ["gru"]\ntasks = ["adding"]\nseed = 3', encoding="utf-8")
    (folder / "impossible.toml").write_text(
        'cells = ["lstm"]\ntasks = ["adding"]\nmatch = "state"\nreference = "gru"\n[settings]\nhidden = 1\n'
        'engine = "reference"',
        encoding="utf-8",
    )
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in result.stderr
    for path in folder.rglob("results.sqlite"):
        with Store(path) as store:
            assert len(store) == 0


@pytest.mark.parametrize("name", ["small", "standard"])
def test_a_preset_is_printed_so_that_it_can_be_changed(folder, name):
    assert invoke("--preset", name, "--print-plan").stdout == preset_text(name)


def test_the_plan_in_the_documentation_runs_as_written(folder, no_report):
    (text,) = re.findall(r"^```toml\n# plan.toml\n(.*?)^```$", DOCS, flags=re.DOTALL | re.MULTILINE)
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    result = invoke("plan.toml", "--processes", "0")
    assert result.exit_code == 0, result.output
    plan = read_plan(folder / "plan.toml")
    assert kinds(stored(folder / "reports" / "plan"))["trial"] == len(plan.places()) * len(plan.seeds)


def test_every_field_of_a_plan_is_documented():
    from rnnbench.trials.plan import Plan, Search

    named = set(re.findall(r"`\[?(\w+)[\].`]", DOCS))
    assert {*Plan.model_fields, *Search.model_fields} <= named
