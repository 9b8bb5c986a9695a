"""``rnnbench horizon``: a tiny run from end to end, resuming, its report, and what it says of bad input."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_records import record
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.cli import horizon as command
from rnnbench.report import page
from rnnbench.report.figures import palette_of
from rnnbench.report.horizon import horizon_answer, horizon_figures, horizon_table
from rnnbench.report.source import Source, check
from rnnbench.trials import Store, executors
from rnnbench.trials import horizon as search

TINY = (
    "--cells", "gru", "--tasks", "adding", "--hidden", "3", "--steps", "2", "--seeds", "1", "--start", "4",
    "--longest", "4", "--processes", "0", "--engine", "reference", "--output", "out",
)  # fmt: skip


DOCS = (Path(__file__).parents[1] / "docs" / "horizon.md").read_text(encoding="utf-8")


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["horizon", *arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def horizon_record(cell="gru", task="adding", horizon: int | None = 64, unsolved: int | None = 72, **fields):
    """Return a record as a search leaves it, with the two lengths that bound the horizon."""
    ends = [(length, solved) for length, solved in ((horizon, True), (unsolved, False)) if length is not None]
    lengths = [
        {"length": length, "solved": solved, "runs": 2, "runs_solved": 2 if solved else 0} for length, solved in ends
    ]
    values: dict[str, Any] = {"horizon": horizon, "unsolved": unsolved, "again": [], "lengths": lengths}
    values |= {"longest": 1000, "precision": 0.125, "seeds": [0, 1, 2]}
    values |= {"settings": {"hidden": 32, "steps": 800, "batch": 32, "learning_rate": 0.01}}
    return record("horizon", cell=cell, task=task, **(values | fields))


def test_a_run_leaves_records_and_a_report_and_a_second_one_runs_nothing(folder, monkeypatch):
    result = invoke(*TINY)
    assert result.exit_code == 0, result.output
    assert re.search(r"adding +│ gru +│ none, not even 2", result.stdout)
    with Store(folder / "out" / "results.sqlite", read_only=True) as store:
        records = store.records()
        assert len(store.records("horizon")) == 1
        assert {one["kind"] for one in records} == {"horizon", "horizon_trial"}
    assert json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))["records"] == records
    summary = (folder / "out" / "summary.md").read_text(encoding="utf-8")
    assert "Horizon" in summary
    assert "figures/horizon_adding.png" in summary
    assert (folder / "out" / "figures" / "horizon_adding.png").read_bytes().startswith(b"\x89PNG")

    def never(*_, **__):
        raise AssertionError("run twice")

    monkeypatch.setattr(executors, "run_all", never)
    again = invoke(*TINY, "--json")
    assert again.exit_code == 0, again.output
    document = json.loads(again.stdout)
    assert [one["key"] for one in document["records"]] == [one["key"] for one in records if one["kind"] == "horizon"]
    assert document["failures"] == []


def test_ctrl_c_keeps_what_there_is(folder, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "find_horizons", stop)
    result = invoke(*TINY)
    assert result.exit_code == 130
    assert "The same command resumes" in result.stderr


def test_a_search_that_fails_is_told_and_is_exit_code_1(folder, monkeypatch):
    monkeypatch.setattr(search, "find_horizons", lambda *_: ["no horizon of gru on adding: T=4, seed 0: killed"])
    result = invoke(*TINY)
    assert result.exit_code == 1
    assert "no horizon of gru on adding: T=4, seed 0: killed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cells", "lsmt"), "unknown cell 'lsmt'"),
        (("--tasks", "digits_row"), "has no horizon: its length is fixed"),
        (("--seeds", "0"), "--seeds must be"),
        (("--precision", "2"), "precision must lie between 0 and 1"),
        (("--processes", "-1"), "--processes must be at least 0"),
        (("--longest", "1"), "needs a length of at least 2, got a longest of 1"),
    ],
)
def test_bad_input_is_one_sentence(folder, arguments, said):
    result = invoke(*arguments, "--output", "out")
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "out").exists()


def test_the_options_have_the_defaults_of_the_search():
    import inspect

    defaults = {name: one.default for name, one in inspect.signature(command.horizon).parameters.items()}
    assert defaults["start"] == search.START
    assert defaults["longest"] == search.LONGEST
    assert defaults["precision"] == search.PRECISION


def test_the_table_says_limits_agreement_and_lengths_solved_again():
    records = [
        horizon_record(),
        horizon_record("lstm", horizon=1000, unsolved=None),
        horizon_record("elman_tanh", horizon=None, unsolved=2),
        horizon_record("mgu", again=[144]),
    ]
    for one in records:
        check(one, "a test")
    table = horizon_table(records)
    assert table is not None
    rows = {}
    for row in table.rows:
        rows[row[1].text] = {head: entry.text for head, entry in zip(table.columns, row, strict=True)}
    assert list(rows) == ["lstm", "gru", "mgu", "elman_tanh"]
    assert rows["lstm"]["horizon, T"] == "≥ 1000"
    assert rows["gru"]["horizon, T"] == "64"
    assert rows["gru"]["not solved at T"] == "72"
    assert rows["gru"]["seeds that solve the horizon"] == "2 of 2"
    assert rows["gru"]["seeds that solve beyond"] == "0 of 2"
    assert rows["elman_tanh"]["horizon, T"] == "none, not even 2"
    assert rows["mgu"]["solved again at T"] == "144"
    assert "solved again" in table.caption
    assert "H=32, at most 800 optimiser steps" in table.caption


def test_searches_under_different_settings_are_told_apart_and_the_newest_of_equals_counts():
    old = horizon_record(created="2026-01-01T00:00:00+00:00", horizon=32, unsolved=36)
    more = horizon_record(settings={"hidden": 32, "steps": 5000, "batch": 32, "learning_rate": 0.01})
    new = horizon_record(created="2026-02-01T00:00:00+00:00")
    table = horizon_table([new, old, more])
    assert table is not None
    setting = table.columns.index("setting")
    assert sorted(row[setting].text for row in table.rows) == ["steps=5000", "steps=800"]
    assert all(row[table.columns.index("horizon, T")].text == "64" for row in table.rows)
    assert len(horizon_figures([new, more], palette_of([new, more]))) == 2


def test_the_figure_is_one_a_task_and_valid():
    records = [horizon_record(), horizon_record("lstm", horizon=None, unsolved=16), horizon_record(task="copy")]
    drawn = horizon_figures(records, palette_of(records))
    assert [one.name for one in drawn] == ["horizon_adding", "horizon_copy"]
    for one in drawn:
        one.chart.to_dict(validate=True)
        assert page.png(one).startswith(b"\x89PNG")
    assert "gru 64" in drawn[0].described


def test_the_page_has_the_section_and_names_no_winner_that_was_not_measured():
    report = page.build(Source([horizon_record()], {}, "rnnbench horizon", "2026-01-01T00:00:00+00:00", "0"))
    assert "horizon" in [section.anchor for section in report.sections]
    assert report.title == "How far do cells remember?"
    assert [(one.question, one.winner) for one in report.answers] == [("Farthest horizon", "gru")]
    assert report.verdict is None


def test_the_answer_names_the_farthest_of_each_task_and_the_next():
    records = [
        horizon_record(),
        horizon_record("lstm", horizon=40, unsolved=44),
        horizon_record("lstm", "copy", horizon=1000, unsolved=None),
        horizon_record("gru", "parity", horizon=None, unsolved=2),
    ]
    answer = horizon_answer(records)
    assert answer is not None
    assert answer.winner == "gru and lstm"
    assert answer.sentence == (
        "On adding the longest T solved is 64, by gru; the next, lstm, 40. On copy the longest T solved is ≥ 1000, by "
        "lstm. On parity no cell solves any length within the budget."
    )
    assert horizon_answer([]) is None


def test_the_python_of_the_docs_runs(folder, capsys):
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", DOCS, flags=re.DOTALL | re.MULTILINE)
    small = snippet.replace('"steps": 200', '"steps": 2, "engine": "reference"').replace("longest=200", "longest=16")
    assert small.count("engine") == small.count("longest=16") == 1
    exec(compile(small, "docs/horizon.md", "exec"), {})
    assert capsys.readouterr().out.startswith("gru temporal_order_3 ")


def test_without_a_horizon_there_is_no_table_and_no_figure():
    assert horizon_table([]) is None
    assert horizon_figures([], palette_of([])) == []
