"""The live view of a run: what it shows in a terminal of any size, in a pipe, when told to be quiet, after Ctrl-C."""

import io

import pytest
from rich.console import Console

from rnnbench.cli import progress
from rnnbench.cli.board import Board
from rnnbench.cli.presets import COMMON
from rnnbench.cli.progress import View, stage
from rnnbench.trials import Trial

CELLS = ("elman_tanh", "lstm", "[red]folder/of/mine.py:my_own_cell[/red]")


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def trials():
    places = [("adding", 20), ("adding", 160), ("parity", 40)]
    return [Trial(cell="gru", task=task, length=length) for task, length in places]


def result(cell, task="adding", length=20, solved=True, score=1.0):
    return {"kind": "trial", "trial": {"cell": cell, "task": task, "length": length}, "solved": solved, "score": score}


def timed(cell, median, mode="training", sizes=COMMON, contender="rnnbench.cpu"):
    return {
        "kind": "time", "mode": mode, "contender": contender, "cell": cell, "median": median,
        **dict(zip("TBIH", sizes, strict=True)),
    }  # fmt: skip


def lines(picture, width, height=40):
    console = Console(width=width, height=height, file=io.StringIO())
    console.print(picture)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def board():
    made = Board(CELLS, trials(), timed=True)
    for record in (
        result("lstm", score=0.75),
        result("lstm", solved=False, score=0.25),
        result("lstm", "parity", 40, score=0.99),
        result("elman_tanh", length=160, solved=False, score=0.5),
        timed("lstm", 0.0123),
        timed("lstm", 9.0, mode="forward"),
        timed("lstm", 9.0, sizes=(1, 2, 3, 4)),
        timed("lstm", 9.0, contender="torch"),
        {"kind": "memory", "cell": "lstm"},
    ):
        made.add(record)
    return made


def test_results_fill_a_table_of_cells_by_tasks():
    told = lines(board().table(100, 20), 100)
    assert [line.split() for line in told[:2]] == [
        ["solved/runs", "training", "adding", "parity"],
        ["and", "score", "step,", "ms", "T=20", "T=160", "T=40"],
    ]
    by_cell = {line.split()[0]: line.split()[1:] for line in told[2:]}
    assert by_cell["lstm"] == ["12.3", "1/2", "0.50", "1/1", "0.99"]
    assert by_cell["elman_tanh"] == ["0/1", "0.50"]
    assert by_cell["…my_own_cell[/red]"] == [], "the end of a long name, and no markup in it"


def test_before_the_first_result_there_is_no_table():
    assert Board(CELLS, trials()).table(100, 20) is None


def test_a_narrow_terminal_has_a_column_for_each_task_and_then_fewer():
    narrow = lines(board().table(56, 20), 56)
    assert narrow[1].split() == ["and", "score", "step,", "ms", "all", "lengths", "all", "lengths"]
    assert "1/2 0.50" in next(line for line in narrow if line.startswith("lstm"))
    narrower = lines(board().table(30, 20), 30)
    assert narrower[0].split() == ["solved/runs", "training"]


def test_a_low_terminal_shows_first_what_has_results():
    told = lines(board().table(100, 4), 100)
    assert [line.split()[0] for line in told[2:]] == ["elman_tanh", "lstm"]
    assert board().table(100, 3) is None


@pytest.mark.parametrize("width", [1, 5, 20, 39, 40, 60, 80, 200])
@pytest.mark.parametrize("height", [3, 8, 24, 60])
def test_the_view_fits_the_terminal(width, height):
    view = View(Console(file=io.StringIO()), {"time": 10, "trials": 1000}, {"time": 5.0}, board())
    view.stages["time"].begin()
    view.stages["time"].say([f"{cell}: step 10/1000, loss 0.123" for cell in CELLS * 5])
    told = lines(view.picture(width, height), width, height)
    assert all(len(line) <= width for line in told)
    assert len(told) <= max(height, 5), "two stages, what runs, the time"


def test_time_left_adds_up_what_runs_and_what_is_to_come(clock):
    view = View(Console(file=io.StringIO()), {"time": 10, "trials": 4}, {"time": 100.0, "trials": 30.0})
    assert view.left == 130
    first, second = view.stages.values()
    first.begin()
    first.skip(4)
    assert view.left == 130, "what was there before says nothing"
    clock.now += 8
    first.done = 6
    assert view.left == 4 * 4 + 30, "the mean step so far"
    first.end()
    second.begin()
    second.say("gru", seconds_left=12.0)
    assert view.left == 12
    assert View(Console(file=io.StringIO()), {"time": 10}).left is None
    limited = View(Console(file=io.StringIO()), {"time": 10}, {"time": 100.0}, deadline=clock.now + 20)
    assert limited.left == 20


def terminal(width=80, height=24):
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, legacy_windows=False)


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def test_a_terminal_is_drawn_on_and_left_as_it_was(clock):
    console = terminal()
    with View(console, {"time": 2, "trials": 2}, board=board()).drawn() as view:
        with view.stage("time") as held:
            clock.now += 1
            held.step("[bold]lstm[/bold] at T=100")
            held.note("[not] timed: torch")
        drawn = console.file.getvalue()  # type: ignore[attr-defined]
        assert HIDE in drawn
        assert "[bold]lstm[/bold] at T=100" in drawn
        assert "[not] timed: torch" in drawn
        assert "time: 1/2" not in drawn
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW) > drawn.rindex(HIDE)
    assert drawn.endswith("time: 1/2 in 0:01\n")


def test_ctrl_c_gives_the_cursor_back(clock):
    console = terminal()

    def stopped():
        with View(console, {"time": 2}).drawn() as view, view.stage("time") as held:
            clock.now += 1
            held.say("lstm")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.rindex(SHOW) > drawn.rindex(HIDE)
    assert "time: 0/2" not in drawn, "a stage that was stopped is not told as one that ended"


def test_in_a_pipe_there_are_plain_lines(clock):
    console = Console(file=io.StringIO(), width=100)
    with stage(console, "trials", 2) as held:
        clock.now += 20
        held.say(["gru", "lstm"], seconds_left=61)
        clock.now += 1
        held.say("not again so soon")
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert told == "trials 0/2, about 1:01 left, gru, lstm\ntrials: 0/2 in 0:21\n"


def test_quiet_leaves_what_must_be_read(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, quiet=True)
    with stage(console, "trials", 2) as held:
        clock.now += 20
        held.step("gru")
        held.note("trial of gru failed")
    assert "trial of gru failed" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "trials" not in console.file.getvalue()  # type: ignore[attr-defined]
