"""Each task goes through a trial; records tell its baselines; the page of all tasks is the one that is printed."""

import json
from pathlib import Path

import pytest
from task_files import NAMES, make
from typer.testing import CliRunner

import rnnbench
from rnnbench.cli import app
from rnnbench.report import frames
from rnnbench.report.tables import raw_tables
from rnnbench.report.tasks_page import short_source, tasks_page
from rnnbench.tasks import tasks
from rnnbench.trials import Result, Trial, run_trial

# Short sequences where a task allows them: what is tried is the way through, not the learning.
SHORT = {
    "adding": 5, "adding_1997": 20, "associative_recall": 32, "copy": 3, "cycle_navigation": 3, "dyck": 10,
    "even_pairs": 3, "induction_heads": 8, "listops": 12, "mackey_glass": 40, "modular_arithmetic": 3,
    "multiplication": 20, "narma10": 60, "noise_free_lag": 5, "parity": 3, "selective_copy": 3, "temporal_order_3": 10,
    "temporal_order_4": 10, "text": 20, "word_problem_s5": 4, "word_problem_z60": 4,
}  # fmt: skip


def _trial(name, folder, **fields):
    task = make(name, folder)
    options = {"window": 3} if name == "forecast" else {}
    length = SHORT.get(name)
    return Trial(
        cell="lstm", task=task.name, length=length, hidden=3, batch=4, task_options=options, **{"steps": 3, **fields}
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_small_trial_runs_from_end_to_end(name, tmp_path):
    trial = _trial(name, tmp_path)
    result = run_trial(trial)
    task = trial.get_task()
    assert (result.steps, result.diverged) == (3, False)
    assert 0 <= result.score <= 1
    assert len(result.curve) == 3
    assert (result.chance, result.chance_score) == (task.chance, task.chance_score)
    record = json.loads(json.dumps(result.to_record(), allow_nan=False))
    back = Result.from_record(record)
    assert back.baselines == result.baselines
    assert list(result.baselines) == {
        "forecast": ["persistence"],
        "mackey_glass": ["mean", "persistence"],
        "text": ["unigram", "trigram"],
    }.get(name, [])


@pytest.mark.parametrize("name", ["even_pairs", "text", "dyck"])
def test_training_lowers_the_loss(name, tmp_path):
    result = run_trial(_trial(name, tmp_path, steps=150, learning_rate=0.02))
    losses = [loss for _, loss in result.curve]
    assert sum(losses[-30:]) < sum(losses[:30])


def test_baselines_are_reported_beside_the_cells(tmp_path):
    text, plain = (run_trial(_trial(name, tmp_path)) for name in ("text", "adding"))
    records = [text.to_record(), plain.to_record(), text.to_record()]
    rows = frames.rows_of(frames.baselines(records))
    assert [(row["cell"], row["length"]) for row in rows] == [("unigram", 20), ("trigram", 20)]
    assert (rows[0]["loss"], rows[0]["score"]) == text.baselines["unigram"]
    (table,) = [table for table in raw_tables(records) if table.name == "baselines"]
    assert table.columns == ["task", "T", "baseline", "score", "loss"]
    assert not [table for table in raw_tables([plain.to_record()]) if table.name == "baselines"]


def test_a_record_from_before_baselines_is_read(tmp_path):
    record = run_trial(_trial("adding", tmp_path)).to_record()
    del record["baselines"]
    assert Result.from_record(record).baselines == {}
    assert frames.baselines([record]).empty


def test_the_page_of_tasks_is_what_the_command_prints():
    page = Path(rnnbench.__file__).parents[1] / "docs" / "tasks.md"
    printed = CliRunner().invoke(app, ["list", "tasks", "--markdown"]).stdout
    assert printed == tasks_page()
    assert page.read_text(encoding="utf-8") == printed, "run: rnnbench list tasks --markdown > docs/tasks.md"


def test_the_page_of_tasks_has_every_task_with_its_source():
    lines = tasks_page().splitlines()
    for name in tasks():
        (row,) = [line for line in lines if line.startswith(f"| [`{name}`]")]
        assert row.count(" | ") == 7
        assert short_source(name)[-4:].isdigit(), name
        assert f"## {name}" in lines


def test_the_readme_tells_how_many_tasks_there_are():
    readme = (Path(rnnbench.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"- **Tasks**: {len(tasks())} (" in readme


def test_tasks_alone_can_be_listed():
    printed = CliRunner().invoke(app, ["list", "tasks"]).stdout
    assert all(f"│ {name} " in printed for name in tasks())
    assert "elman_tanh" not in printed
