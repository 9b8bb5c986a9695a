"""The search for a horizon: known thresholds are found in few trials, odd outcomes are said, nothing is run twice."""

import json
import math
from collections import Counter
from typing import Any

import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store, Trial, run_all
from rnnbench.trials.horizon import (
    Interval,
    decision,
    find_horizons,
    interval,
    length_limits,
    make_searches,
    next_length,
)

TINY: dict[str, Any] = {"hidden": 4, "steps": 2, "batch": 4, "engine": "reference"}


class Runner:
    """Stands for the trainer: a trial solves its task where ``solves`` says so; counts what it was asked for."""

    def __init__(self, store, solves, stop_after=None):
        self.store, self.solves, self.stop_after = store, solves, stop_after
        self.ran: list[Trial] = []
        self.rounds = 0

    def __call__(self, trials):
        self.rounds += 1
        for trial in trials:
            if self.stop_after is not None and len(self.ran) >= self.stop_after:
                raise KeyboardInterrupt
            self.ran.append(trial)
            solved = self.solves(trial)
            outcome = {"solved": solved, "steps_to_solve": 7 if solved else None, "score": 1.0 if solved else 0.2}
            self.store.add({"kind": "horizon_trial", "key": trial.key, "diverged": False, **outcome})
        return []


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def found(store):
    return store.records("horizon")


def searches(*cells, task="adding", **fields):
    return make_searches(cells or ("gru",), [task], settings=TINY, **fields)


@pytest.mark.parametrize("threshold", [2, 3, 9, 15, 16, 17, 31, 100, 255, 256, 640, 999])
def test_a_known_threshold_is_found_within_the_precision_and_in_few_trials(store, threshold):
    runner = Runner(store, lambda trial: trial.length <= threshold)
    assert find_horizons(searches(precision=0.1), store, runner) == []
    (record,) = found(store)
    assert record["horizon"] <= threshold < record["unsolved"]
    assert record["unsolved"] - record["horizon"] <= max(1, 0.1 * record["horizon"])
    assert record["again"] == []
    # Doubling or halving, bisection of the last factor of two, and one look beyond; two seeds of three settle each.
    lengths = {trial.length for trial in runner.ran}
    assert len(lengths) <= abs(math.log2(threshold / 16)) + 2 + math.ceil(math.log2(1 / 0.1)) + 1
    assert len(runner.ran) == 2 * len(lengths)


def test_with_a_precision_below_one_length_the_threshold_itself_is_found(store):
    find_horizons(searches(precision=0.001), store, Runner(store, lambda trial: trial.length <= 93))
    (record,) = found(store)
    assert (record["horizon"], record["unsolved"]) == (93, 94)


def test_the_limits_are_said_where_everything_or_nothing_is_solved(store):
    runner = Runner(store, lambda trial: trial.cell == "gru")
    find_horizons(searches("gru", "elman_tanh", longest=300), store, runner)
    nothing, all_of_it = sorted(found(store), key=lambda record: record["cell"])
    assert (all_of_it["cell"], all_of_it["horizon"], all_of_it["unsolved"]) == ("gru", 300, None)
    assert (nothing["cell"], nothing["horizon"], nothing["unsolved"]) == ("elman_tanh", None, 2)
    assert min(length["length"] for length in nothing["lengths"]) == 2
    assert max(length["length"] for length in all_of_it["lengths"]) == 300


def test_a_longer_length_that_is_solved_again_is_said_and_does_not_count(store):
    find_horizons(searches(), store, Runner(store, lambda trial: trial.length <= 40 or trial.length >= 80))
    (record,) = found(store)
    # 16, 32 and 64, which fails; bisection to 40 and 44; the look at twice 44 finds it solved.
    assert record["horizon"] == 40
    assert record["again"] == [88]
    assert [(one["length"], one["solved"]) for one in record["lengths"]] == [
        (16, True), (32, True), (40, True), (44, False), (48, False), (64, False), (88, True),
    ]  # fmt: skip


def test_most_seeds_decide_and_no_more_are_run_than_that_takes(store):
    # Seed 0 fails from 20 on, seed 1 from 60, seed 2 from 200: most of three solve what is below 60.
    limits = {0: 20, 1: 60, 2: 200}
    runner = Runner(store, lambda trial: trial.length < limits[trial.seed])
    find_horizons(searches(precision=0.01), store, runner)
    (record,) = found(store)
    assert (record["horizon"], record["unsolved"]) == (59, 60)
    runs = {one["length"]: (one["runs_solved"], one["runs"]) for one in record["lengths"]}
    assert runs[16] == (2, 2)
    assert runs[32] == (2, 3), "the first two disagree: the third decides"
    assert runs[64] == (0, 2)
    assert max(Counter((trial.length, trial.seed) for trial in runner.ran).values()) == 1


@pytest.mark.parametrize(
    ("runs", "seeds", "answer"),
    [
        ({}, 1, None),
        ({0: True}, 1, True),
        ({0: False}, 1, False),
        ({0: True, 1: True}, 3, True),
        ({0: True, 1: False}, 3, None),
        ({0: False, 1: False}, 3, False),
        ({0: True, 1: True}, 4, None),
        ({0: False, 1: False}, 4, False),  # half is not most
        ({0: True, 1: True, 2: True}, 4, True),
    ],
)
def test_a_length_is_decided_by_most_seeds(runs, seeds, answer):
    assert decision(runs, seeds) is answer


def test_the_interval_ends_at_the_first_length_that_is_not_solved():
    assert interval({}) == Interval(None, None, ())
    assert interval({16: True, 32: True}) == Interval(32, None, ())
    assert interval({16: False, 8: False}) == Interval(None, 8, ())
    assert interval({16: True, 32: False, 64: True, 24: True}) == Interval(24, 32, (64,))


def test_the_next_length_depends_on_the_outcomes_alone_and_not_on_their_order():
    (search,) = searches()
    decided = {16: True, 32: True, 64: False, 48: True}
    assert next_length(search, decided) == next_length(search, dict(reversed(decided.items()))) == 56


def test_a_killed_search_goes_on_and_runs_nothing_twice(store):
    def solves(trial):
        return trial.length <= (90 if trial.cell == "gru" else 21)

    asked = searches("gru", "lstm")
    first = Runner(store, solves, stop_after=9)
    with pytest.raises(KeyboardInterrupt):
        find_horizons(asked, store, first)
    assert len(first.ran) == 9
    second = Runner(store, solves)
    ended = []
    find_horizons(asked, store, second, {"cpu": "some"}, ended.append)
    keys = [trial.key for trial in [*first.ran, *second.ran]]
    assert len(keys) == len(set(keys)) == len(store) - 2
    assert {search.cell for search in ended} == {"gru", "lstm"}
    assert {record["cell"]: record["horizon"] for record in found(store)} == {"gru": 88, "lstm": 20}
    assert found(store)[0]["where"] == {"cpu": "some"}
    third = Runner(store, solves)
    before = store.records()
    find_horizons(asked, store, third)
    assert third.ran == []
    assert store.records() == before


def test_searches_share_their_rounds(store):
    runner = Runner(store, lambda trial: trial.length <= 100)
    find_horizons(searches("gru", "lstm", "mgu"), store, runner)
    alone = Runner(store, lambda trial: trial.length <= 100)
    find_horizons(searches("ugrnn"), store, alone)
    assert runner.rounds == alone.rounds
    assert len(runner.ran) == 3 * len(alone.ran)


def test_a_trial_that_comes_to_nothing_ends_its_search_alone_and_is_tried_again(store):
    works = Runner(store, lambda trial: trial.length <= 20)

    def run(trials):
        works([trial for trial in trials if trial.cell != "lstm"])
        return [(trial, "its process was killed") for trial in trials if trial.cell == "lstm"]

    asked = searches("lstm", "gru")
    assert find_horizons(asked, store, run) == ["no horizon of lstm on adding: T=16, seed 0: its process was killed"]
    assert [record["cell"] for record in found(store)] == ["gru"]
    assert find_horizons(asked, store, works) == []
    assert {record["cell"] for record in found(store)} == {"gru", "lstm"}


def test_trials_are_kept_apart_from_those_of_other_runs(store):
    find_horizons(searches(longest=20), store, Runner(store, lambda trial: True))
    (search,) = searches(longest=20)
    plain = Trial(**TINY, cell="gru", task="adding", length=16, seed=0)
    assert search.trial(16, 0).purpose == "horizon"
    assert search.trial(16, 0).key != plain.key
    assert store.records("trial") == []


def test_an_answer_belongs_to_its_question():
    (one,) = searches()
    others = [
        searches("lstm"),
        searches(task="copy"),
        searches(seeds=(0, 1, 3)),
        searches(start=8),
        searches(longest=500),
        searches(precision=0.2),
        make_searches(["gru"], ["adding"], settings=TINY | {"steps": 3}),
    ]
    assert len({one.key, *(other[0].key for other in others)}) == 8
    assert searches()[0].key == one.key


def test_limits_are_asked_of_the_task(tmp_path):
    assert length_limits("adding", 1000) == (2, 1000)
    assert length_limits("associative_recall", 500) == (32, 500)
    assert length_limits("temporal_order_3", 10) == (10, 10)
    (search,) = searches(task="associative_recall")
    assert search.start == 32
    (search,) = searches(start=64, longest=20)
    assert (search.start, search.longest) == (20, 20)


def test_a_task_of_limited_length_limits_the_search(monkeypatch):
    from rnnbench.tasks import task_class

    monkeypatch.setattr(task_class("mackey_glass"), "longer_is_harder", True)
    assert length_limits("mackey_glass", 5000) == (21, 1000)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"task": "digits_row"}, "has no horizon: its length is fixed"),
        ({"task": "narma10"}, "has no horizon: a longer sequence asks for no longer memory"),
        ({"task": "associative_recall", "longest": 20}, "needs a length of at least 32, got a longest of 20"),
        ({"task": "nowhere"}, "unknown task 'nowhere'"),
        ({"precision": 0.0}, "precision must lie between 0 and 1, got 0.0"),
        ({"precision": math.nan}, "precision must lie between 0 and 1"),
        ({"start": 0}, "start must be"),
        ({"longest": -3}, "longest must be"),
        ({"seeds": ()}, "at least one seed"),
    ],
)
def test_a_bad_question_is_one_sentence(fields, said):
    with pytest.raises(RnnbenchError, match=said):
        searches(**fields)


def test_a_bad_cell_or_setting_is_one_sentence():
    with pytest.raises(RnnbenchError, match="unknown cell 'lsmt'"):
        searches("lsmt")
    with pytest.raises(RnnbenchError, match="unknown trial field 'hiden'"):
        make_searches(["gru"], ["adding"], settings={"hiden": 3})


def test_a_real_search_with_processes_and_without_gives_one_answer(tmp_path):
    settings = TINY | {"steps": 6, "evaluate_every": 3}
    asked = make_searches(["gru"], ["temporal_order_3"], (0,), start=10, longest=12, settings=settings)
    answers = []
    for processes in (0, 1):
        with Store(tmp_path / f"{processes}.sqlite") as store:
            assert find_horizons(asked, store, lambda trials, s=store, p=processes: run_all(trials, s, p).failed) == []
            (record,) = found(store)
            assert {one["kind"] for one in store.records()} == {"horizon", "horizon_trial"}
            assert sum(one["runs"] for one in record["lengths"]) == len(store) - 1
            answers.append(json.dumps({name: record[name] for name in record if name != "created"}))
    assert answers[0] == answers[1]
