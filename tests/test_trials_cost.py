"""What trials will cost: measured once for each shape, and near what they then take."""

import time

import pytest

from rnnbench.trials import Trial, run_trial
from rnnbench.trials import cost as costs
from rnnbench.trials.cost import Cost, cost_of, estimate, seconds_of, seconds_per_step, shape_of


def small(**fields):
    return Trial(**({"cell": "gru", "task": "adding", "length": 20, "hidden": 16, "steps": 100} | fields))


@pytest.fixture
def measured(monkeypatch):
    """The trials that were measured, each at 1 s to start, 0.1 s a step and 2 s an evaluation."""
    seen = []

    def measure(trial):
        seen.append(trial)
        return Cost(start=1.0, step=0.1, evaluation=2.0)

    monkeypatch.setattr(costs, "_measured", {})
    monkeypatch.setattr(costs, "_measure", measure)
    return seen


def test_a_shape_is_measured_once(measured):
    told = []
    alike = [
        small(),
        small(seed=1),
        small(learning_rate=0.1),
        small(steps=500, evaluate_every=7),
        small(purpose="search"),
    ]
    other = [small(hidden=8), small(length=40), small(cell="lstm"), small(batch=8), small(layers=2)]
    estimate([*alike, *other], processes=1, on_measure=told.append)
    assert measured == told == [alike[0], *other]
    assert len({shape_of(trial) for trial in alike}) == 1


def test_the_budget_is_added_up(measured):
    trial = small(steps=100, evaluate_every=30)
    assert seconds_of(trial) == pytest.approx(1 + 100 * 0.1 + 4 * 2 + 2), "four validations and the test"
    assert seconds_per_step(trial) == pytest.approx(0.1 + 2 / 30)
    assert seconds_per_step(small(steps=10)) == pytest.approx(0.1 + 2 / 10), "one validation, at the end"


def test_trials_share_the_processes(measured):
    trials = [small(seed=seed) for seed in range(4)]
    one = seconds_of(trials[0])
    assert estimate(trials, processes=1) == estimate(trials, processes=0) == pytest.approx(4 * one)
    assert estimate(trials, processes=2) == pytest.approx(2 * one)
    assert estimate(trials, processes=100) == pytest.approx(one), "no shorter than the longest"
    assert estimate([], processes=2) == 0


@pytest.mark.parametrize("cell", ["gru", "mlp_last", "random_guess"])
def test_a_trial_takes_about_what_was_expected(cell):
    trial = small(cell=cell, evaluate_every=50)
    expected = seconds_of(trial)
    begun = time.perf_counter()
    result = run_trial(trial)
    taken = time.perf_counter() - begun
    assert result.steps == trial.steps
    # A machine that others use may stall either of the two; orders of magnitude apart means a wrong sum.
    assert expected / 10 < taken < expected * 10
    cost = cost_of(trial)
    assert min(cost.start, cost.step, cost.evaluation) > 0
