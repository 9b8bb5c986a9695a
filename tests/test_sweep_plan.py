"""Plans of sweeps: what a TOML file says, what cannot be, and the plans that come with the package."""

from typing import Any

import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.trials.plan import Place, Plan, parse_plan, preset_text, presets, read_plan

SMALL: dict[str, Any] = {
    "cells": ("gru", "lstm"),
    "tasks": ("adding", "digits_row"),
    "seeds": 2,
    "settings": {"engine": "reference"},
}


def plan(**fields: Any) -> Plan:
    return Plan(**(SMALL | fields))


def refused(text: str) -> str:
    with pytest.raises(RnnbenchError) as told:
        parse_plan(f'cells = ["gru"]\ntasks = ["adding"]\n{text}', "mine.toml")
    assert str(told.value).startswith("plan mine.toml")
    return str(told.value)


def test_a_plan_is_the_whole_grid_seed_by_seed():
    trials = plan(lengths=(5, 10), seeds=(3, 4), settings={"engine": "reference", "hidden": 7}).trials({}, {})
    assert len(trials) == 2 * (2 + 1) * 2  # digits have one length
    assert len({one.key for one in trials}) == len(trials)
    assert [one.seed for one in trials] == [3] * 6 + [4] * 6
    assert {(one.task, one.length) for one in trials} == {("adding", 5), ("adding", 10), ("digits_row", 8)}
    assert {(one.hidden, one.purpose) for one in trials} == {(7, "report")}


def test_sizes_and_rates_go_to_their_places_alone():
    there = Place("gru", "adding", 100)
    trials = plan().trials({there: 11}, {there: 0.5}, without=[Place("lstm", "adding", 100)])
    told = {(one.cell, one.task, one.length): (one.hidden, one.learning_rate) for one in trials}
    assert told == {there: (11, 0.5), ("gru", "digits_row", 8): (64, 0.003), ("lstm", "digits_row", 8): (64, 0.003)}


def test_lengths_may_differ_from_task_to_task():
    made = plan(tasks=("adding", "copy", "parity"), lengths={"adding": (7, 5), "copy": (3,)})
    assert made.lengths_of("adding") == [7, 5]
    assert made.lengths_of("copy") == [3]
    assert made.lengths_of("parity") == [40], "its default"
    assert made.middle_length("adding") == 5


def test_settings_of_a_task_and_of_a_cell_stand_over_those_of_all():
    made = plan(
        settings={"engine": "reference", "steps": 10, "clip": 2.0},
        task={"adding": {"steps": 20, "batch": 5}},
        cell={"lstm": {"batch": 6, "init": {"b.f": 1.0}}},
    )
    told = {(one.cell, one.task): (one.steps, one.batch, one.clip, one.init) for one in made.trials({}, {})}
    assert told == {
        ("gru", "adding"): (20, 5, 2.0, None),
        ("lstm", "adding"): (20, 6, 2.0, {"b.f": 1.0}),
        ("gru", "digits_row"): (10, 32, 2.0, None),
        ("lstm", "digits_row"): (10, 6, 2.0, {"b.f": 1.0}),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeeds = 3", "unknown plan field 'seeeds'; did you mean seeds"),
        ("cells = 1", "is not TOML"),
        ("lengths = [5", "is not TOML"),
        ("seeds = 0", "seeds"),
        ("seeds = [1, 1]", "seeds names 1 twice"),
        ("seeds = [-1]", "seeds.0 must be"),
        ('match = "size"', "match must be 'hidden', 'parameters', 'state' or 'wall-clock', got 'size'"),
        ("tolerance = 0", "tolerance must be greater than 0"),
        ("lengths = [1]", "task 'adding' needs a length of at least 2, got 1"),
        ("[lengths]\naddding = [5]", "unknown task in lengths 'addding'; did you mean adding"),
        ("[settings]\nhiden = 3", "unknown trial field 'hiden'; did you mean hidden"),
        ("[settings]\nhidden = 0", "hidden must be"),
        ("[settings]\nseed = 3", "settings cannot hold 'seed'"),
        ('[settings]\npurpose = "search"', "settings cannot hold 'purpose'"),
        ("[cell.grru]\nbatch = 3", "unknown cell in [cell] 'grru'; did you mean gru"),
        ("[task.copy]\nbatch = 3", "unknown task in [task] 'copy'"),
        ("[cell.gru]\nhidden = 3", "cell.gru cannot hold 'hidden': how cells get their size is what match says"),
        ("[search]\ntrails = 3", "unknown plan field 'search.trails'; did you mean search.trials"),
        ("[search]\ntrials = 1", "search.trials must be"),
        ("[search]\nlow = 1.0", "search.low must be below search.high, got 1 and 0.03"),
        ("[search]\nrounds = 10", "search.rounds must be at most search.trials=9, got 10"),
        ("[search]\nseeds = [2]", "search.seeds and seeds share 2"),
        ("[search]\n[settings]\nlearning_rate = 0.1", "settings has a learning_rate, but [search] looks for one"),
        ("[search]\nsteps = 5\n[settings]\nwarmup = 5", "warmup must be shorter than steps=5"),
        ('match = "state"\nreference = "lsmt"', "unknown cell 'lsmt'; did you mean lstm"),
        ('[settings]\nengine = "cpuu"', "'cpuu'; did you mean cpu"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_the_file_and_the_field(text, said):
    if text.startswith("cells"):
        text = "cells = 2"
    assert said in refused(text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(RnnbenchError, match="cannot read plan .*nowhere.toml: no such file"):
        read_plan(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'cells = ["\xe9"]')
    with pytest.raises(RnnbenchError, match="latin.toml is not a text in UTF-8"):
        read_plan(tmp_path / "latin.toml")


def test_unknown_names_are_found_before_anything_starts():
    for fields, said in (({"cells": ("grru",)}, "gru"), ({"tasks": ("addding",)}, "adding")):
        with pytest.raises(RnnbenchError, match=f"did you mean .*{said}"):
            plan(**fields)


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_plan(name):
    made = parse_plan(preset_text(name), name)
    assert made.search is not None
    assert set(made.search.seeds).isdisjoint(made.seeds)
    assert len(made.seeds) >= 5
    assert all(len(made.lengths_of(task)) > 1 for task in made.tasks[:2]), "memory is told by several lengths"
    assert name in preset_text(name).splitlines()[0]


def test_the_standard_preset_is_the_comparison_it_promises():
    made = parse_plan(preset_text("standard"), "standard")
    assert (len(made.cells), len(made.tasks), len(made.seeds)) == (12, 4, 5)
    assert all(len(made.lengths_of(task)) == 3 for task in made.tasks)
    assert {trial.hidden for trial in made.trials({}, {})} == {64}


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(RnnbenchError, match="unknown preset of a sweep 'smal'; did you mean small"):
        preset_text("smal")
