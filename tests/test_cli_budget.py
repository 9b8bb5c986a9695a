"""``rnnbench run --budget``: what fits, in which order, what is said of the rest, and that the time is kept."""

import dataclasses
import itertools
import math
from typing import Any

import pytest
from rich.console import Console

from rnnbench.cli import budget, within
from rnnbench.cli import plan as planning
from rnnbench.cli.budget import Block, fit, in_order_of_value, plan_with, seconds_in, told
from rnnbench.cli.expected import Expected
from rnnbench.cli.plan import make_plan
from rnnbench.cli.presets import DEFAULT, QUICK
from rnnbench.cli.stages import Outcome, Pace
from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store, Trial
from rnnbench.trials.cost import Cost


def trial(task="adding", length=10, seed=0, cell="gru"):
    return Trial(cell=cell, task=task, length=length, seed=seed)


@pytest.fixture(scope="module")
def small():
    """The quick run with a fourth cell, a third task and more seeds."""
    preset = dataclasses.replace(
        QUICK, cells=(*(QUICK.cells or ()), "mgu"), tasks=("adding", "temporal_order_3", "parity"), seeds=4
    )
    return make_plan(preset)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5h", 5400), ("0.5m", 30)])
def test_a_duration_is_read(text, seconds):
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-5m", "0s", "1e3s", "10d", "ten minutes", "1.2.3s", "²s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(RnnbenchError, match="--budget takes a time such as 90s, 10m or 8h"):
        seconds_in(text)


def test_blocks_are_taken_in_their_order_while_they_fit():
    blocks = [Block("seed", name, trials=(trial(seed=seed),)) for seed, name in enumerate("abcd")]
    costs = {"a": 4.0, "b": 5.0, "c": 3.0, "d": 1.0}
    found = fit(blocks, 8.5, lambda block: costs[block.what])
    assert [block.what for block in found.chosen] == ["a", "c", "d"], "what does not fit is passed over for what does"
    assert [block.what for block in found.left] == ["b"]
    assert found.seconds == 8.0


def test_a_length_that_is_left_out_is_left_out_of_later_blocks():
    short, long = trial(length=10), trial(length=100)
    blocks = [
        Block("length", "T=10", trials=(short,)),
        Block("length", "T=100", trials=(long,)),
        Block("seed", "seed 1", trials=(trial(length=10, seed=1), trial(length=100, seed=1))),
        Block("seed", "of T=100 alone", trials=(trial(length=100, seed=2),)),
    ]
    found = fit(blocks, 10, lambda block: 100.0 if any(one.length == 100 for one in block.trials) else 1.0)
    assert [block.what for block in found.chosen] == ["T=10", "seed 1"]
    assert found.chosen[1].trials == (trial(length=10, seed=1),)
    assert [block.what for block in found.left] == ["T=100"]


def test_the_order_of_value_begins_with_three_cells_and_one_task_and_leaves_nothing_out(small):
    blocks = list(in_order_of_value(small))
    first = blocks[0]
    assert (first.kind, {timing.cell for timing in first.timings}) == ("speed", set(QUICK.cells or ()))
    assert {timing.sizes for timing in first.timings} == {QUICK.shapes[0]}
    assert [block.what for block in blocks[1:4]] == ["adding at T=20", "adding at T=60", "adding at T=160"]
    assert all({one.seed for one in block.trials} == {0} for block in blocks[1:4])
    cells = [block.what for block in blocks if block.kind == "cell"]
    assert cells == ["mgu"]
    counted = [one.key for block in blocks for one in block.trials]
    assert sorted(counted) == sorted(one.key for one in small.trials), "each trial is in one block"
    timings = [timing for block in blocks for timing in block.timings]
    assert sorted(map(str, timings)) == sorted(map(str, small.timings))
    assert {item for block in blocks for item in block.memory} == set(small.memory)


def test_a_plan_of_all_blocks_is_the_plan_and_one_of_some_holds_their_cells_alone(small):
    blocks = list(in_order_of_value(small))
    whole = plan_with(small, blocks, "10m quick")
    assert (whole.timings, whole.memory, whole.trials, whole.cells) == (
        small.timings,
        small.memory,
        small.trials,
        small.cells,
    )
    assert whole.compiled == small.recurrent[:1]
    part = plan_with(small, blocks[:2], "90s quick")
    assert part.cells == QUICK.cells
    assert part.tasks == ("adding",)
    assert {one.length for one in part.trials} == {20}
    assert part.compiled == ()
    assert str(part).startswith("90s quick run on engine cpu: 3 cells")


def test_a_control_is_trained_and_not_timed():
    plan = make_plan(dataclasses.replace(QUICK, seeds=1), ("gru", "mlp_last"), ("adding",))
    blocks = list(in_order_of_value(plan))
    assert {timing.cell for block in blocks for timing in block.timings} == {"gru"}
    assert {one.cell for block in blocks for one in block.trials} == {"gru", "mlp_last"}
    assert plan_with(plan, blocks, "x").controls == ("mlp_last",)


def test_what_is_left_out_is_told_by_its_kind():
    blocks = [Block("seed", "seed 1"), Block("cell", "lem"), Block("cell", "mgu"), Block("seed", "seed 1")]
    assert told(blocks) == ["seeds: seed 1", "cells: lem, mgu"]


@pytest.mark.parametrize(("seconds", "name"), [(100, "quick"), (5_000, "default"), (500_000, "full")])
def test_more_time_means_a_larger_preset(seconds, name):
    cost = {20_000: 500.0, 2000: 20.0, 800: 3.0}  # of a trial, by its steps
    chosen = budget.fitting_preset(seconds, lambda block: sum(cost[one.steps] for one in block.trials))
    assert chosen.name == name
    assert chosen.cells is not None
    assert chosen.cells[:3] == QUICK.cells
    assert set(DEFAULT.tasks) <= set(chosen.tasks)


# The whole of it, with a clock of its own

EACH, SPEED, MEASURING, REPORT = 2.0, 3.0, 5.0, 20.0


@pytest.fixture
def world(small, monkeypatch, tmp_path):
    """A machine whose trials, timings and clock are made up: ``carry_out`` only lets its time pass."""

    class World:
        now = 1000.0
        passes: list[Any] = []
        share = 1.0  # of the expected seconds that a trial takes

        def carry_out(self, plan, store, console, pace, expected):
            World.passes.append(plan)
            World.now += SPEED * len(plan.timings)
            for one in plan.trials:
                if World.now + EACH * World.share > pace.until:
                    World.now = pace.until
                    return Outcome(left=["trials"])
                World.now += EACH * World.share
                store.add({"kind": "trial", "key": one.key, "trial": one.model_dump(), "seconds": EACH * World.share})
            return Outcome()

    World.passes = []
    made = World()

    def measure(self, trials):
        World.now += MEASURING
        self._measured = [(one, 1.0, Cost(0.0, EACH / one.steps, 0.0)) for one in trials]

    monkeypatch.setattr(planning, "QUICK", QUICK)
    monkeypatch.setattr(within, "carry_out", made.carry_out)
    monkeypatch.setattr(within.time, "monotonic", lambda: World.now)
    monkeypatch.setattr(within, "is_stored", lambda timing, preset, store: False)
    monkeypatch.setattr(within.budget, "fitting_preset", lambda *_: small.preset)
    monkeypatch.setattr(Expected, "measure", measure)
    monkeypatch.setattr("rnnbench.cli.expected._work", lambda one: 1.0)
    monkeypatch.setattr(Expected, "timing", lambda self, timing: SPEED)
    monkeypatch.setattr(Expected, "memory", lambda self, cell, sizes: 0.0)
    for name in ("CONTEST", "COMPILE", "FIRST_USE"):
        monkeypatch.setattr(f"rnnbench.cli.expected.{name}", 0.0)
    with Store(tmp_path / "results.sqlite") as store:
        yield World, store


def within_time(world, text, capsys):
    kind, store = world
    begun = kind.now
    plan, outcome = within.carry_out_within(
        text, begun, within.Asked(), store, Console(width=200, stderr=True), Pace(processes=1)
    )
    return plan, outcome, kind.now - begun, capsys.readouterr().err


@pytest.mark.parametrize("text", ["60s", "2m", "10m"])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_time_is_kept_and_used(world, capsys, text, share, small):
    world[0].share = share
    plan, outcome, taken, said = within_time(world, text, capsys)
    seconds = seconds_in(text)
    assert taken + REPORT <= seconds
    assert outcome.left == []
    everything = len(plan.trials) == len(small.trials)
    assert everything or taken + REPORT > seconds - 20 * EACH * share - 6 * SPEED, "nothing large would still fit"
    assert ("Left out" in said) == (not everything)
    if share < 1 and not everything:
        assert len(world[0].passes) > 1, "the time that solved trials leave is used"


def test_trials_that_take_longer_than_expected_are_cut_off_and_the_same_command_goes_on(world, capsys):
    world[0].share = 3.0
    _, outcome, taken, said = within_time(world, "2m", capsys)
    assert taken + REPORT <= 120
    assert outcome.left == ["trials"]
    assert "The time was up before these ended: trials. The same command goes on." in said
    stored = set(world[1].keys())
    world[0].passes.clear()
    plan, _, _, _ = within_time(world, "2m", capsys)
    assert stored < {one.key for one in plan.trials} | stored
    assert len(world[1].keys()) > len(stored)


def test_a_time_that_is_too_short_is_told(world, capsys):
    with pytest.raises(
        RnnbenchError, match=r"--budget 30s is too short here: the first measurements .* take about 0:43"
    ):
        within_time(world, "30s", capsys)
    assert world[0].passes == []


# What is expected of a machine


def test_trials_are_expected_to_take_what_their_steps_did_and_then_what_their_seeds_did(monkeypatch):
    expected = Expected(QUICK, at_a_time=2)
    short, long = trial(length=50), trial(length=100, seed=3)
    monkeypatch.setattr("rnnbench.trials.cost.cost_of", lambda one: Cost(1.0, 0.01, 0.5))
    expected.measure([short])
    alone = 1.0 + 2000 * 0.01 + 21 * 0.5
    assert expected.trial(short) == pytest.approx(alone)
    assert expected.trial(long) == pytest.approx(2 * alone), "twice the length, twice the work"
    assert expected.trials([short, long]) == pytest.approx(1.5 * alone)
    record = {"kind": "trial", "key": "k", "trial": trial(length=100).model_dump(), "seconds": 7.0}
    expected.learn([record, record | {"seconds": 9.0}])
    assert expected.trial(long) == 8.0
    assert expected.trial(trial(length=100, cell="mgu")) > 8.0


def test_a_slower_machine_is_expected_to_do_everything_more_slowly(monkeypatch):
    seen = []
    for step in (0.01, 0.1):
        monkeypatch.setattr("rnnbench.trials.cost.cost_of", lambda one, step=step: Cost(0.0, step, 0.0))
        expected = Expected(QUICK, at_a_time=1)
        expected.measure([trial()])
        seen.append((expected.pace, expected.report, expected.memory("gru", QUICK.shapes[0])))
    assert all(slow == pytest.approx(10 * fast) for fast, slow in itertools.zip_longest(*seen))
    assert all(math.isfinite(value) for value in seen[0])
