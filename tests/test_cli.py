"""The command line: what it prints, and that bad input is one sentence and exit code 2, with nothing lost."""

import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.cli.plan import make_plan, split_names
from rnnbench.cli.presets import COMMON, DEFAULT, FULL, QUICK
from rnnbench.cli.progress import View, clock
from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store


def invoke(*arguments: str):
    return CliRunner().invoke(app, arguments)


def refused(*arguments: str) -> str:
    """Run a command that must end with one sentence on standard error and exit code 2; return the sentence."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("rnnbench: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def prices(empty_folder):
    rows = [f"2026-01-{day:02},{100 + day % 7}" for day in range(1, 31)]
    (empty_folder / "prices.csv").write_text("\n".join(["date,close", *rows, ""]), encoding="utf-8")
    (empty_folder / "torn.csv").write_text("\n".join(["date,close", *rows, "2026-02-01,closed"]), encoding="utf-8")
    return empty_folder


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    import rnnbench

    assert invoke("--version").stdout == f"rnnbench {rnnbench.__version__}\n"
    assert version("rnnbench") == rnnbench.__version__


def test_python_m_rnnbench_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "rnnbench", "info", "lsmt"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == refused("info", "lsmt")


def test_starting_up_pulls_in_no_numba_pandas_or_pydantic():
    code = (
        "import sys, rnnbench.cli; "
        "print(*[name for name in ('numba', 'pandas', 'pydantic', 'scipy', 'altair', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--cells", "lsmt"), "'lsmt'; did you mean lstm"),
        (("run", "--tasks", "coppy"), "'coppy'; did you mean copy"),
        (("run", "--engine", "cpuu"), "'cpuu'; did you mean cpu"),
        (("run", "--cells", "lstm,lsmt"), "'lsmt'"),
        (("run", "--cells", "nowhere.py:mine"), "no file 'nowhere.py'"),
        (("run", "--quick", "--full"), "--quick and --full"),
        (("run", "--quick", "--window", "3"), "--window needs a forecast"),
        (("run", "--quick", "--processes", "-1"), "--processes must be at least 0"),
        (("run", "--processes", "2", "--scheduler", "tcp://x"), "give one of the two"),
        (("run", "--budget", "soon"), "--budget takes a time such as 90s"),
        (("run", "--budget", "10m", "--quick"), "give it without --quick"),
        (("run", "--budget", "10m", "--scheduler", "tcp://x"), "give it without --scheduler"),
        (("run", "--budget", "10m", "--cells", "lsmt"), "'lsmt'"),
        (("run", "--task", "forecast"), "needs a CSV file and a column"),
        (("run", "--task", "forecast:nowhere.csv:close"), "nowhere.csv"),
        (("run", "--task", "forecast:prices.csv:volume"), "volume"),
        (("run", "--task", "forecast:torn.csv:close"), "closed"),
        (("run", "--task", "forecast:prices.csv:close", "--window", "0"), "--window must be at least 1"),
        (("run", "--task", "forecast:prices.csv:close", "--window", "1000"), "too few"),
        (("compare", "lstm"), "two or more different cells"),
        (("compare", "lstm", "lstm"), "two or more different cells"),
        (("compare", "lstm", "gruu"), "'gruu'; did you mean gru"),
        (("info", "lsmt"), "'lsmt'; did you mean lstm"),
        (("info", "lstm", "--hidden", "0"), "--hidden must be at least 1"),
        (("list", "--hidden", "0"), "--hidden must be at least 1"),
        (("list", "--input", "-3"), "--input must be at least 1"),
        (("report", "nowhere"), "nowhere"),
        (("report", "."), "no results"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(arguments, said, prices):
    before = sorted(prices.rglob("*"))
    assert said in refused(*arguments)
    assert sorted(prices.rglob("*")) == before


def test_an_output_folder_that_cannot_be_made(empty_folder):
    (empty_folder / "file").write_text("in the way", encoding="utf-8")
    assert "cannot write to output folder" in refused("run", "--quick", "--output", "file/inside")
    assert (empty_folder / "file").read_text(encoding="utf-8") == "in the way"


def test_a_results_file_from_another_version_is_left_alone(empty_folder):
    path = empty_folder / "old" / "results.sqlite"
    with Store(path) as store:
        store.add({"schema": 1, "kind": "trial", "key": "0"})
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    for command in (("run", "--quick", "--output", "old"), ("report", "old")):
        assert "another version" in refused(*command)
    assert path.read_bytes() == before


def test_a_file_that_is_no_results_file_is_left_alone(empty_folder):
    path = empty_folder / "results.sqlite"
    path.write_text("my notes", encoding="utf-8")
    assert "not a results file" in refused("run", "--quick", "--output", ".")
    assert path.read_text(encoding="utf-8") == "my notes"


def test_usage_errors_exit_with_2_as_well(empty_folder):
    for arguments in (("run", "--nonsense"), ("run", "--window", "three"), ("nonsense",), ("compare",)):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "Traceback" not in result.output
    assert list(empty_folder.iterdir()) == []


def test_list_names_everything_there_is():
    from rnnbench.cells import cells
    from rnnbench.engines import engines
    from rnnbench.peers import peers
    from rnnbench.tasks import tasks

    result = invoke("list")
    assert result.exit_code == 0
    for name in [*cells(), *tasks(), *engines(), *peers()]:
        assert f"│ {name} " in result.stdout


def test_info_shows_what_is_derived_from_the_equations():
    from rnnbench.cells import get_cell

    result = invoke("info", "lstm", "--input", "10", "--hidden", "20")
    assert result.exit_code == 0
    spec = get_cell("lstm")
    # four gates, each with input weights, recurrent weights and a bias
    assert f"{4 * (10 * 20 + 20 * 20 + 20):,}" in result.stdout
    assert f"{spec.flops_per_step(10, 20):,}" in result.stdout
    for line in spec.equations():
        assert line in result.stdout
    for name in spec.params:
        assert name in result.stdout
    assert "Hochreiter" in result.stdout
    assert invoke("info", "lstm", "--latex").stdout.splitlines() == spec.latex()


def test_info_takes_a_cell_of_the_readers_own(empty_folder):
    (empty_folder / "mine.py").write_text(
        '"""My cell.\n\nNobody 2026.\n"""\n'
        "from rnnbench.lang import cell, tanh\n\n\n"
        "@cell(states='h')\ndef mine(x, R, b, h):\n    return tanh(x.a + R.a(h) + b.a)\n",
        encoding="utf-8",
    )
    result = invoke("info", "mine.py:mine", "--input", "3", "--hidden", "5")
    assert result.exit_code == 0
    assert str(3 * 5 + 5 * 5 + 5) in result.stdout


def test_doctor_tells_engines_peers_and_the_cache():
    from rnnbench.engines import engines
    from rnnbench.measure import machine_facts
    from rnnbench.peers import peers

    result = invoke("doctor")
    assert result.exit_code == 0
    for name in [*engines(), *peers()]:
        assert f"│ {name} " in result.stdout
    assert machine_facts()["cpu"] in result.stdout
    assert "kernel cache" in result.stdout


@pytest.mark.parametrize("preset", [QUICK, DEFAULT, FULL], ids=lambda preset: preset.name)
def test_every_preset_is_a_plan_that_can_be_carried_out(preset):
    plan = make_plan(preset)
    assert COMMON in preset.shapes
    assert COMMON in preset.memory
    assert len(plan.timings) == 2 * len(preset.shapes) * len(plan.cells)
    assert len({trial.key for trial in plan.trials}) == len(plan.trials)
    assert [trial.seed for trial in plan.trials] == sorted(trial.seed for trial in plan.trials)
    assert all(timing.contenders[0] == "rnnbench.cpu" for timing in plan.timings)


def test_the_quick_preset_answers_for_rnn_lstm_and_gru():
    plan = make_plan(QUICK)
    assert set(plan.cells) == {"elman_tanh", "lstm", "gru"}
    for task in plan.tasks:
        # "remembers longest" needs more than one length
        assert len({trial.length for trial in plan.trials if trial.task == task}) > 1


def test_a_plan_is_narrowed_to_what_was_asked_for(prices):
    plan = make_plan(QUICK, cells=("gru", "mgu", "gru"), tasks=("forecast:prices.csv:close",), window=3)
    assert plan.cells == ("gru", "mgu")
    assert {timing.cell for timing in plan.timings} == {"gru", "mgu"}
    assert {(trial.cell, trial.length) for trial in plan.trials} == {("gru", 3), ("mgu", 3)}
    later = make_plan(QUICK, cells=("gru",), seed=5)
    assert sorted({trial.seed for trial in later.trials}) == [5, 6, 7]


def test_timings_with_the_same_contenders_stand_together():
    order = [timing.contenders for timing in make_plan(DEFAULT).timings]
    changes = sum(one != other for one, other in zip(order, order[1:], strict=False))
    assert changes == len(set(order)) - 1


def test_names_may_be_separated_by_commas_or_given_one_by_one():
    assert split_names(["lstm, gru", "mgu", ","]) == ("lstm", "gru", "mgu")


def test_a_window_without_a_forecast_is_an_error():
    with pytest.raises(RnnbenchError, match="--window"):
        make_plan(QUICK, window=3)


def test_the_clock():
    assert [clock(seconds) for seconds in (0.4, 83, 3723)] == ["0:00", "1:23", "1:02:03"]


def test_progress_outside_a_terminal_is_lines_with_the_time_left(monkeypatch, capsys):
    from rich.console import Console

    from rnnbench.cli import progress

    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    held = View(Console(width=160), {"time": 10}).stages["time"]
    held.begin()
    held.skip(2)
    now += 40.0
    held.step("lstm")
    assert capsys.readouterr().out == "time 3/10, about 4:40 left, lstm\n"
    now += 1.0
    held.step("gru")
    assert capsys.readouterr().out == "", "lines come now and then, not for every step"
    assert held.end() == "time: 4/10 in 0:41, 2 of them from before"
