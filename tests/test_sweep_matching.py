"""Matching: counts agree with the models they count, and the size found is the nearest there is."""

from typing import Any

import numpy as np
import pytest

from rnnbench.cells import cells
from rnnbench.errors import RnnbenchError
from rnnbench.nn.layer import Layer
from rnnbench.trials import Store, Trial, build_model
from rnnbench.trials import matching as under_test
from rnnbench.trials.matching import Match, match, matched, nearest, to_record
from rnnbench.trials.models import parameter_count, state_size
from rnnbench.trials.plan import Place, Plan


def trial(**fields: Any) -> Trial:
    return Trial(**({"cell": "gru", "task": "temporal_order_3", "length": 20, "engine": "reference"} | fields))


def plan(**fields: Any) -> Plan:
    settings = {"engine": "reference", "hidden": 24} | fields.pop("settings", {})
    return Plan(**({"cells": ("gru",), "tasks": ("adding",), "lengths": (6,), "settings": settings} | fields))


@pytest.mark.parametrize("cell", cells())
def test_a_models_parameters_are_counted_without_making_it(cell):
    one = trial(cell=cell, hidden=16, layers=2)
    assert parameter_count(one) == build_model(one, one.get_task()).parameter_count


@pytest.mark.parametrize(
    "fields",
    [
        {"embedding": 5},
        {"bidirectional": True, "layers": 2},
        {"pooling": "additive"},
        {"pooling": "dot", "bidirectional": True},
        {"pooling": "mean"},
        {"cell": "lstm_projected", "layers": 2, "bidirectional": True, "hyper": {"projection": 0.25}},
        {"cell": "lstm_projected", "pooling": "additive"},
        {"cell": "mlp_window"},
        {"cell": "transformer", "embedding": 4},
        {"cell": "random_guess"},
    ],
)
def test_so_are_those_of_what_stands_around_the_cell(fields):
    one = trial(hidden=16, **fields)
    assert parameter_count(one) == build_model(one, one.get_task()).parameter_count


def test_a_state_is_what_the_layer_hands_from_step_to_step():
    for cell, carried in (("lstm", 2 * 12), ("gru", 12), ("mlstm", 4 * 3 * 3 + 12 + 4)):
        layer = Layer(cell, 3, 12, engine="reference")
        _, final = layer.forward(np.zeros((2, 1, 3), np.float32))
        read = layer.program.carried
        assert state_size(trial(cell=cell, hidden=12)) == sum(final[name].size for name in read)
        if cell != "mlstm":
            assert state_size(trial(cell=cell, hidden=12)) == carried
    assert state_size(trial(cell="lstm", hidden=12, layers=2, bidirectional=True)) == 4 * 24


def test_a_state_that_no_step_reads_does_not_count():
    program = Layer("sru", 3, 4, engine="reference").program
    assert program.carried < set(program.states)
    assert state_size(trial(cell="sru", hidden=4)) == 4 * len(program.carried)


def test_a_control_has_no_state_to_match():
    with pytest.raises(RnnbenchError, match="mlp_window is a control and has no state: leave it out, or match by"):
        matched(plan(cells=("gru", "mlp_window"), match="state"), {})


@pytest.mark.parametrize("target", [1, 3, 10, 99, 100, 4321, 70000])
@pytest.mark.parametrize("start", [1, 8, 300])
@pytest.mark.parametrize("grain", [1, 4])
def test_the_nearest_size_is_found(target, start, grain):
    def quantity(hidden: int) -> int:
        return 3 * hidden * hidden + 7

    sizes = range(grain, 400, grain)
    best = min(sizes, key=lambda hidden: (abs(quantity(hidden) - target), hidden))
    assert nearest(quantity, target, start, grain) == (best, quantity(best))


def test_the_search_for_a_size_is_short_and_stops_when_it_is_near_enough():
    asked = []

    def quantity(hidden: int) -> float:
        asked.append(hidden)
        return hidden / 100

    hidden, value = nearest(quantity, 1.0, 64, close=0.05)
    assert abs(value - 1) <= 0.05
    assert len(asked) == len(set(asked)) <= 8
    assert nearest(lambda hidden: 0.0, 1.0, 64)[1] == 0.0, "and it ends where nothing is large enough"


@pytest.mark.parametrize(
    "cell", ["elman_tanh", "lstm", "mlstm", "fast_grnn", "lru", "mlp_window", "mlp_last", "transformer"]
)
def test_parameters_are_matched_as_well_as_can_be(cell):
    made = plan(cells=(cell,), match="parameters", reference="gru")
    (found,) = matched(made, {}).values()
    place = found.place
    assert found.target == parameter_count(made.trial(place._replace(cell="gru")))
    assert found.reached == parameter_count(made.trial(place, hidden=found.hidden))
    assert abs(found.miss) <= 0.1
    step = 4 if cell == "mlstm" else 1
    for other in (found.hidden - step, found.hidden + step):
        assert abs(parameter_count(made.trial(place, hidden=other)) - found.target) >= abs(found.reached - found.target)


def test_states_are_matched_with_matrices_counted():
    made = plan(cells=("lstm", "mlstm", "rg_lru"), match="state", reference="lstm", settings={"hidden": 40})
    found = {place.cell: one.hidden for place, one in matched(made, {}).items()}
    assert found["lstm"] == 40
    assert found["rg_lru"] == 80
    assert found["mlstm"] % 4 == 0
    assert found["mlstm"] < 40


def test_what_cannot_be_matched_says_which_cell_and_how_far_off():
    made = plan(cells=("lstm", "mlstm"), match="state", reference="gru", settings={"hidden": 5}, tolerance=0.01)
    with pytest.raises(RnnbenchError) as told:
        match(made, made.places()[0])
    assert str(told.value) == (
        "lstm cannot be matched by state to gru with H=5 on adding: at best, with H=2, it has 4 numbers carried from "
        "step to step where 5 numbers carried from step to step are wanted, -20%, and the plan's tolerance is 1%"
    )


def test_random_guessing_keeps_its_own_size():
    made = plan(cells=("gru", "random_guess"), match="parameters")
    assert {place.cell for place in matched(made, {})} == {"gru"}


@pytest.fixture
def clock(monkeypatch):
    """Steps that take so many seconds for each hidden unit as the cell says."""
    asked = []

    def seconds(training, steps):
        asked.append(training.trial)
        return training.trial.hidden * {"gru": 3.0, "elman_tanh": 1.0, "mlp_last": 0.5}[training.trial.cell]

    monkeypatch.setattr(under_test, "_seconds", seconds)
    return asked


def test_wall_clock_is_matched_in_turns_at_the_middle_length_and_once(clock, tmp_path):
    made = plan(cells=("gru", "elman_tanh", "mlp_last"), match="wall-clock", reference="gru", lengths=(4, 6, 8))
    with Store(tmp_path / "results.sqlite") as store:

        def keep(one: Match) -> None:
            store.add(to_record(one))

        found = matched(made, store, keep)
        assert {(place.cell, one.hidden) for place, one in found.items()} == {
            ("gru", 24),
            ("elman_tanh", 72),
            ("mlp_last", 144),
        }
        assert len(found) == 9
        assert {one.length for one in clock} == {6}
        record = store.get(found[Place("elman_tanh", "adding", 8)].key)
        assert record is not None
        own, other = record["samples"]["72"]
        fewest, _ = under_test.ROUNDS
        assert own == other == [72.0] * fewest, "a round of these takes longer than there is time"
        asked = [one.cell for one in clock]
        end = len(asked) - asked[::-1].index("elman_tanh") + 1
        assert asked[end - 2 * fewest : end] == ["elman_tanh", "gru"] * fewest
        assert found[Place("gru", "adding", 8)].samples == {}, "the reference is its own match"
        clock.clear()
        assert matched(made, store) == found
        assert clock == [], "what is stored is not measured again"


def test_real_times_of_a_cell_against_itself_give_about_its_own_size():
    made = plan(
        cells=("elman_sigmoid",), match="wall-clock", reference="elman_tanh", tolerance=0.5, settings={"hidden": 6}
    )
    (found,) = matched(made, {}).values()
    assert all(second > 0 for pair in found.samples.values() for side in pair for second in side)
    assert found.samples.keys() >= {found.hidden}
    assert found.reached == pytest.approx(1, abs=0.5)
