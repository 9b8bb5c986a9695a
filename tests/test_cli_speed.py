"""``rnnbench speed``: what it plans, a tiny run from end to end, resuming, and what it says of bad input."""

import functools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnnbench.cli import app
from rnnbench.cli.speed_plan import MAIN_CELLS, NULL_TEST, SHAPES, make_speed_plan, parse_shapes
from rnnbench.errors import RnnbenchError
from rnnbench.measure import available_cores, limits
from rnnbench.measure.speed import call_flops
from rnnbench.trials import Store

TINY = ("--shapes", "6x2x3x4", "--samples", "5", "--max-seconds", "0.01", "--threads", "1", "--output", "out")
OURS, SECOND, GEMM = "rnnbench.cpu", "rnnbench.cpu#2", "limit.gemm"


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["speed", *arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, with limits that are measured in a moment."""
    monkeypatch.chdir(tmp_path)
    quick = functools.partial(limits.machine_limits, seconds=0.0, burst_seconds=1e-3, gemm_size=64)
    monkeypatch.setattr(limits, "machine_limits", quick)
    monkeypatch.setattr(limits, "MEMORY_LIMIT", 1 << 22)
    return tmp_path


@pytest.fixture
def absent_peers(monkeypatch):
    """Return the peers, none of which can be used."""
    from rnnbench import peers

    states = {name: f"{name} is not installed" for name in peers.peers()}
    monkeypatch.setattr(peers, "peers", lambda: states)
    return states


def stored(folder: Path) -> list[dict]:
    with Store(folder / "results.sqlite", read_only=True) as store:
        return store.records()


def test_a_run_leaves_the_table_and_its_samples_and_a_second_one_measures_nothing(folder, absent_peers, monkeypatch):
    from rnnbench import measure

    arguments = ("--cells", "mgu", "--modes", "training", *TINY)
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    records = stored(folder / "out")
    assert [record["kind"] for record in records] == ["limits", "speed", "speed"]
    _, row, null = records
    assert row["contest"] == [[OURS, "mgu"], [SECOND, "lstm"], [GEMM, "mgu"]]
    assert null["contest"] == [[OURS, "mgu"], [SECOND, "mgu"]]
    for record in (row, null):
        assert [[time["contender"], time["cell"]] for time in record["times"]] == record["contest"]
        assert all(len(time["samples"]) == 5 and min(time["samples"]) > 0 for time in record["times"])
        assert (record["T"], record["B"], record["I"], record["H"], record["threads"]) == (6, 2, 3, 4, 1)
        assert (record["mode"], record["excluded"]) == ("training", {})
    assert row["absent"] == absent_peers
    assert row["times"][0]["flops"] == 3 * 2 * 6 * 2 * 2 * 4 * (3 + 4)
    assert row["times"][2]["flops"] == 2 * 2048**3

    for name in ("report.html", "summary.md", "results.json"):
        assert (folder / "out" / name).is_file()
    body = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    assert body["records"] == records
    summary = (folder / "out" / "summary.md").read_text(encoding="utf-8")
    for title in ("Speed of other cells", "Null test", "Machine and versions", "Roofline, training"):
        assert f"### {title}" in summary
    assert "6×2×3×4" in result.stdout
    for peer in absent_peers:
        assert f"without {peer}: {peer} is not installed" in result.stderr
        assert f"{peer} is not installed" in result.stdout, "the table says it too"
    assert "Report: out/report.html" in result.stdout

    def again(*_, **__):
        raise AssertionError("it is in the store already")

    monkeypatch.setattr(measure, "Contest", again)
    monkeypatch.setattr(limits, "machine_limits", again)
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert stored(folder / "out") == records


def test_a_stopped_run_keeps_its_rows_and_goes_on_with_the_others(folder, monkeypatch):
    from rnnbench.measure import speed
    from rnnbench.report import page

    monkeypatch.setattr(page, "png", lambda figure: b"")  # the other run draws them
    arguments = ("--cells", "indrnn", "--modes", "forward", "--peers", "none", *TINY)
    finished = speed.speed_record
    calls = iter(range(100))

    def stop_at_the_second(*given):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return finished(*given)

    monkeypatch.setattr(speed, "speed_record", stop_at_the_second)
    result = invoke(*arguments)
    assert result.exit_code == 130
    assert "The same command resumes" in result.stderr
    kept = stored(folder / "out")
    assert [record["kind"] for record in kept] == ["limits", "speed"], result.stderr
    result = invoke(*arguments, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    records = stored(folder / "out")
    assert records[:2] == kept
    assert len(records) == 3
    told = json.loads(result.stdout)
    assert (told["report"], told["records"], result.stderr) == ("out/report.html", [*records[1:], records[0]], "")


@pytest.mark.slow
def test_a_contender_that_fails_is_told_and_the_exit_code_is_1(folder, monkeypatch):
    (folder / "mine").mkdir()
    (folder / "mine" / "wrong.py").write_text(
        "def unavailable_reason():\n    return None\n\n\n"
        "def supports(cell, training):\n    return None\n\n\n"
        "def prepare(*given):\n    raise MemoryError('no room for it')\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(folder)
    result = invoke("--cells", "indrnn", "--modes", "forward", "--peers", "mine.wrong", *TINY)
    assert result.exit_code == 1, result.output
    assert "not timed: mine.wrong for indrnn forward at T=6 B=2 I=3 H=4" in result.stderr
    assert "no room for it" in result.stdout, "the table says it too"
    (row,) = [record for record in stored(folder / "out") if record["kind"] == "speed" and record["excluded"]]
    assert [time["contender"] for time in row["times"]] == [OURS, GEMM]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cells", "lsmt"), "unknown cell 'lsmt'; did you mean lstm"),
        (("--shapes", "wide"), "--shapes takes latency, training, long, odd or sizes written TxBxIxH"),
        (("--shapes", "10x2x3"), "got '10x2x3'"),
        (("--shapes", "10x0x3x4"), "B must be at least 1, got 0"),
        (("--modes", "backward"), "unknown mode 'backward'"),
        (("--peers", "torhc"), "unknown contender 'torhc'; did you mean torch"),
        (("--peers", "none,torch"), "--peers none stands alone"),
        (("--threads", "0"), "--threads must be at least 1"),
        (("--samples", "1"), "--samples must be at least 2"),
        (("--max-seconds", "0"), "--max-seconds must be above 0"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("rnnbench: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_named_peer_that_is_not_installed_is_refused(absent_peers, monkeypatch):
    from rnnbench.peers import torch_nn

    monkeypatch.setattr(torch_nn, "unavailable_reason", lambda: "torch is not installed")
    with pytest.raises(RnnbenchError, match="peer torch cannot be used here: torch is not installed"):
        make_speed_plan(peers=("torch",))


def test_the_default_is_three_cells_at_every_shape_in_both_modes():
    plan = make_speed_plan()
    shapes = [shape for kind in SHAPES.values() for shape in kind]
    assert len(shapes) == 9
    assert {(row.cell, row.sizes, row.mode) for row in plan.rows} == {
        (cell, shape, mode) for cell in MAIN_CELLS for shape in shapes for mode in ("forward", "training")
    }
    assert all(row.contenders[0] == OURS and row.contenders[-1] == GEMM for row in plan.rows)
    assert not any(row.beside for row in plan.rows)
    assert {row.threads for row in plan.rows} == {available_cores()}
    assert [(row.sizes, row.mode) for row in plan.null] == list(NULL_TEST.values())
    assert {(row.cell, row.contenders) for row in plan.null} == {("lstm", (OURS, SECOND))}
    changes = sum(one.contenders != other.contenders for one, other in zip(plan.rows, plan.rows[1:], strict=False))
    assert changes == len({row.contenders for row in plan.rows}) - 1, "processes are started once for alike rows"


def test_other_dense_cells_run_beside_the_lstm():
    from rnnbench.cells import cells

    plan = make_speed_plan(cells=("all",), shapes=("odd",), peers=("none",))
    assert set(plan.cells) == set(cells())
    assert plan.cells[:3] == MAIN_CELLS
    beside = {row.cell: dict(row.beside) for row in plan.rows}
    assert beside["mgu"] == beside["gru_reset_before"] == {SECOND: "lstm"}
    assert beside["lstm"] == beside["indrnn"] == beside["min_gru"] == {}


def test_shapes_are_kinds_or_sizes_each_once():
    assert parse_shapes(("odd", "97x7x13x53", "1x2X3x4")) == ((97, 7, 13, 53), (1, 2, 3, 4))
    assert parse_shapes(()) == tuple(shape for kind in SHAPES.values() for shape in kind)


def test_the_key_differs_with_all_that_is_asked():
    base = {"cells": ("lstm",), "shapes": ("odd",), "modes": ("forward",), "peers": ("none",), "threads": 1}
    changes = [{"shapes": ("1x2x3x4",)}, {"modes": ("training",)}, {"threads": 2}, {"samples": 5}, {"seed": 1}]
    changes.append({"max_seconds": 1.0})
    keys = [make_speed_plan(**{**base, **change}).rows[0].key for change in ({}, *changes)]
    assert len(set(keys)) == len(keys)


def test_operations_are_those_of_the_literature():
    T, B, I, H = 50, 8, 24, 40  # noqa: E741 - the legend's letters
    for cell, gates in (("elman_tanh", 1), ("gru", 3), ("lstm", 4)):
        assert call_flops(cell, (T, B, I, H), "forward") == 2 * T * B * gates * H * (I + H)
        assert call_flops(cell, (T, B, I, H), "training") == 3 * call_flops(cell, (T, B, I, H), "forward")
