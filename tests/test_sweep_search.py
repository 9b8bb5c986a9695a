"""The search for learning rates: one budget for all, the same outcome however its trials are run, nothing run twice."""

import math
import random
from typing import Any

import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.trials import Result, Store, Trial
from rnnbench.trials.plan import Place, Plan, Search
from rnnbench.trials.search import RateSearch, badness, planned, round_sizes, search_rates

GOOD = {"gru": 0.004, "elman_tanh": 0.0005}


def plan(seeds: Any = (1000,), **search: Any) -> Plan:
    return Plan(
        cells=("gru", "elman_tanh"),
        tasks=("adding",),
        lengths=(4, 6, 8),
        seeds=(0, 1, 2),
        settings={"engine": "reference", "hidden": 3, "steps": 40},
        search=Search.model_validate({"trials": 8, "rounds": 3, "steps": 20, "seeds": seeds} | search),
    )


class Runs:
    """Stands for the executor: stores trials whose loss grows with the distance from a cell's good rate.

    ``order``: in which the trials of a list finish. ``fails``: those that come to nothing. ``stop_after``: so many,
    as if killed.
    """

    def __init__(self, store, order=lambda trials: trials, fails=lambda trial: False, stop_after=math.inf):
        self.store, self.order, self.fails, self.stop_after = store, order, fails, stop_after
        self.rounds: list[list] = []
        self.ran: list = []

    def __call__(self, trials):
        self.rounds.append(trials)
        for trial in self.order([one for one in trials if one.key not in self.store]):
            if len(self.ran) == self.stop_after:
                raise KeyboardInterrupt
            self.ran.append(trial)
            if not self.fails(trial):
                self.store.add(record_of(trial))


def record_of(trial: Trial, **found: Any) -> dict[str, Any]:
    """Return what training would: diverged at large rates, else a loss that grows with the distance from the best."""
    distance = abs(math.log(trial.learning_rate / GOOD[trial.cell]))
    diverged = trial.learning_rate > 0.02
    fields: dict[str, Any] = {
        "score": 0.0,
        "loss": distance,
        "chance": 0.0,
        "chance_of": "loss",
        "chance_score": 0.0,
        "solved_at": 1.0,
        "solved": False,
        "steps": trial.steps,
        "steps_to_solve": None,
        "diverged": diverged,
        "seconds": 0.0,
        "params": 1,
        "clipped": 0.0,
        "curve": [],
        "validation": [(10, 5.0, 0.0), (20, distance + 0.001 * trial.seed, 0.0)],
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Result(trial=trial, key=trial.key, **(fields | found)).to_record()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def test_every_cell_gets_the_same_budget_and_a_rate_near_its_best(store):
    runs, made = Runs(store), plan()
    rates, without = search_rates(made, {}, store, runs)
    assert without == []
    assert set(rates) == set(made.places())
    for cell, good in GOOD.items():
        found = {rate for place, rate in rates.items() if place.cell == cell}
        assert len(found) == 1, "one search for all lengths"
        assert abs(math.log(found.pop() / good)) < math.log(2)
        mine = [trial for trial in runs.ran if trial.cell == cell]
        assert len(mine) == 8
        assert {(one.length, one.steps, one.seed, one.purpose) for one in mine} == {(6, 20, 1000, "search")}
    assert [len(trials) for trials in runs.rounds] == [6, 6, 4, 0], "rounds hold the trials of all searches"
    first = [[one.learning_rate for one in runs.rounds[0] if one.cell == cell] for cell in GOOD]
    assert first[0] == first[1] == [0.0001, 0.00173, 0.03]


def test_search_seeds_are_never_reported(store):
    made = plan(seeds=[7, 8])
    runs = Runs(store)
    rates, _ = search_rates(made, {}, store, runs)
    searched, reported = {one.seed for one in runs.ran}, {one.seed for one in made.trials({}, rates)}
    assert searched == {7, 8}
    assert searched.isdisjoint(reported)
    assert {one.key for one in runs.ran}.isdisjoint(one.key for one in made.trials({}, rates))
    assert store.keys("trial") == set(), "records of a search are of another kind"
    with pytest.raises(RnnbenchError, match="search.seeds and seeds share 2"):
        plan(seeds=[2])


def test_the_outcome_does_not_depend_on_the_order_in_which_trials_finish(tmp_path):
    told = []
    shuffled = random.Random(3)
    for name, order in (
        ("a", lambda trials: trials),
        ("b", lambda trials: trials[::-1]),
        ("c", lambda trials: shuffled.sample(trials, len(trials))),
    ):
        with Store(tmp_path / name / "results.sqlite") as store:
            runs = Runs(store, order)
            rates, _ = search_rates(plan(), {}, store, runs)
            records = [
                {key: value for key, value in one.items() if key != "created"} for one in store.records("search")
            ]
            told.append((rates, [[one.key for one in trials] for trials in runs.rounds], records))
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("stop_after", [0, 3, 7, 15])
def test_a_search_that_was_stopped_goes_on_and_repeats_nothing(tmp_path, stop_after):
    with Store(tmp_path / "whole.sqlite") as store:
        whole = Runs(store)
        rates, _ = search_rates(plan(), {}, store, whole)
    with Store(tmp_path / "parts.sqlite") as store:
        before = Runs(store, stop_after=stop_after)
        with pytest.raises(KeyboardInterrupt):
            search_rates(plan(), {}, store, before)
        after = Runs(store)
        assert search_rates(plan(), {}, store, after)[0] == rates
        assert [*before.ran, *after.ran] == whole.ran
        again = Runs(store)
        assert search_rates(plan(), {}, store, again)[0] == rates
        assert again.rounds == [], "a search that has ended is read from its record"


def test_a_trial_that_fails_ends_its_search_alone(store):
    runs = Runs(store, fails=lambda trial: trial.cell == "gru" and trial.learning_rate == 0.03)
    rates, without = search_rates(plan(), {}, store, runs)
    assert {place.cell for place in rates} == {"elman_tanh"}
    assert without == [Place("gru", "adding", length) for length in (4, 6, 8)]
    assert [one["cell"] for one in store.records("search")] == ["elman_tanh"]
    assert sum(trial.cell == "gru" for trial in runs.ran) == 3, "no further round for it"


def test_the_record_has_the_rate_the_whole_curve_and_the_budget(store):
    runs = Runs(store)
    rates, _ = search_rates(plan(seeds=[1000, 1001]), {}, store, runs)
    record = next(one for one in store.records("search") if one["cell"] == "gru")
    assert (record["task"], record["length"], record["steps"]) == ("adding", 6, 20)
    assert record["settings"]["trials"] == 8
    assert record["settings"]["seeds"] == [1000, 1001]
    assert record["learning_rate"] == rates[Place("gru", "adding", 8)]
    assert len(record["tried"]) == 8
    for rate, value in record["tried"]:
        if rate > 0.02:
            assert value is None, "diverged"
        else:
            assert value == pytest.approx(abs(math.log(rate / GOOD["gru"])) + 1.0005), "mean over the search's seeds"
    best = min((value, rate) for rate, value in record["tried"] if value is not None)
    assert record["learning_rate"] == best[1]


def test_where_the_search_is_made():
    for length, wanted in (("shortest", {4}), ("median", {6}), ("longest", {8}), ("each", {4, 6, 8})):
        searches = planned(plan(length=length), {})
        assert {search.place.length for search in searches.values()} == wanted
        assert all(search.trial.hidden == 3 for search in searches.values())
    sized = planned(plan(), {Place("gru", "adding", 6): 5})
    assert sized[Place("gru", "adding", 8)].trial.hidden == 5


def test_a_purpose_is_part_of_the_key_and_gives_a_record_another_kind():
    reported = plan().trial(Place("gru", "adding", 6))
    changes: list[dict[str, Any]] = [{"purpose": "search"}, {"purpose": "horizon"}]
    searched, horizon = (Trial(**(reported.model_dump() | change)) for change in changes)
    assert len({reported.key, searched.key, horizon.key}) == 3
    kinds = [record_of(one)["kind"] for one in (reported, searched, horizon)]
    assert kinds == ["trial", "search_trial", "horizon_trial"]
    assert Result.from_record(record_of(searched)).trial == searched


def test_random_guessing_takes_no_rate(store):
    made = Plan(cells=("gru", "random_guess"), tasks=("adding",), search=plan().search)
    assert {place.cell for place in planned(made, {})} == {"gru"}


def test_rounds_are_equally_long():
    settings = plan(trials=8, rounds=3).search
    assert settings is not None
    assert round_sizes(settings) == [3, 3, 2]


def test_a_rate_that_solves_a_task_is_better_than_any_that_does_not():
    search = plan().search
    assert search is not None
    trial = RateSearch(Place("gru", "adding", 6), plan().trial(Place("gru", "adding", 6)), search).trials(0.001)[0]
    late = badness(record_of(trial, solved=True, steps_to_solve=20))
    soon = badness(record_of(trial, solved=True, steps_to_solve=5))
    low = badness(record_of(trial, validation=[(20, 1e-9, 0.0)]))
    high = badness(record_of(trial, validation=[(10, 0.0, 0.0), (20, 2.0, 0.0)]))
    gone = badness(record_of(trial, diverged=True))
    assert -1 < soon < late <= 0 < low < high == 2.0 < gone == math.inf
    nan = badness(record_of(trial, validation=[(20, math.nan, 0.0)]))
    assert nan == math.inf


def test_optuna_keeps_quiet(store, capfd):
    search_rates(plan(trials=3, rounds=2), {}, store, Runs(store))
    assert capfd.readouterr() == ("", "")
