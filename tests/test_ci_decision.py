"""From samples to a verdict: the rates of both errors on noisy machines that are drawn, and what the rules promise."""

import json

import numpy as np
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.regression.decision import (
    FAILED,
    IMPROVEMENT,
    NEW,
    REGRESSION,
    SKIPPED,
    UNCHANGED,
    Rules,
    Verdict,
    compare,
    decide,
    needs_more,
    reference_exponent,
)
from rnnbench.regression.series import Benchmark, Round, Sample, Series

RULES = Rules()
# Machines: spread of processes, drift of the speed from round to round, how far the reference follows it, and the share
# of the time in which bursts disturb samples, some of them many times over.
MACHINES = {
    "quiet": (0.005, 0.005, 1.0, 0.02),
    "shared": (0.02, 0.03, 0.8, 0.3),
    "throttled": (0.01, 0.1, 1.0, 0.1),
    "busy": (0.02, 0.05, 0.5, 0.5),
}


def change_of(verdict: Verdict) -> float:
    assert verdict.change is not None
    return verdict.change


def drawn_round(rng, machine, level, change, turns=12) -> Round:
    spread, drift, follows, busy = MACHINES[machine]
    offsets = rng.normal(0, spread, 2)
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    burst = False
    for _ in range(turns):
        speed = level + rng.normal(0, drift / 3)
        for side in (0, 1):
            if rng.random() < 0.2:
                burst = rng.random() < busy
            own, reference = speed * follows + offsets[side] + side * change, speed
            # What disturbs only ever makes it longer, now and then by a lot.
            own += abs(rng.normal(0, 0.01)) + burst * (rng.random() < 0.7) * 0.3 * rng.pareto(2)
            reference += abs(rng.normal(0, 0.01)) + burst * (rng.random() < 0.7) * 0.3 * rng.pareto(2)
            sides[side].append(Sample(1e-3 * float(np.exp(own)), 1e-3 * float(np.exp(reference))))
    return Round(tuple(sides[0]), tuple(sides[1]))


def drawn_series(rng, machine, change, benchmarks=1) -> Series:
    """Measure a benchmark whose head takes 1 + ``change`` times as long, round by round as ``rnnbench ci`` does."""
    series, level = Series(Benchmark("speed.time_it")), 0.0
    while not series.rounds or needs_more(series, RULES, benchmarks):
        level += rng.normal(0, MACHINES[machine][1])
        series.rounds.append(drawn_round(rng, machine, level, np.log1p(change)))
    return series


@pytest.mark.parametrize("machine", MACHINES)
def test_of_unchanged_pairs_hardly_one_is_accused_and_of_slower_ones_hardly_one_is_missed(machine):
    rng = np.random.default_rng(20)
    pairs = 24
    for_nothing = [decide([drawn_series(rng, machine, 0.0)], RULES)[0] for _ in range(pairs)]
    slower = [decide([drawn_series(rng, machine, 0.1)], RULES)[0] for _ in range(pairs)]
    assert sum(verdict.outcome == REGRESSION for verdict in for_nothing) <= 1
    assert sum(verdict.outcome == REGRESSION for verdict in slower) >= pairs - 2
    assert np.median([change_of(verdict) for verdict in slower]) == pytest.approx(0.1, abs=0.025)
    # Only what is in doubt takes all rounds.
    assert np.mean([verdict.rounds for verdict in for_nothing]) < 5
    assert {verdict.rounds for verdict in slower} <= {*range(3, RULES.most_rounds + 1)}


def test_a_suite_of_many_benchmarks_finds_the_one_that_changed():
    rng = np.random.default_rng(3)
    series = [drawn_series(rng, "shared", 0.1 if index == 7 else 0.0, benchmarks=30) for index in range(30)]
    assert [verdict.outcome for verdict in decide(series, RULES)] == [
        REGRESSION if index == 7 else UNCHANGED for index in range(30)
    ]


def test_a_gain_is_told_as_one():
    rng = np.random.default_rng(4)
    verdict = decide([drawn_series(rng, "shared", -0.2)], RULES)[0]
    assert verdict.outcome == IMPROVEMENT
    assert change_of(verdict) == pytest.approx(-0.2, abs=0.03)
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < change_of(verdict) < verdict.high < 0


def test_a_change_below_the_smallest_that_counts_is_none_however_sure_it_is():
    rng = np.random.default_rng(5)
    series = Series(Benchmark("speed.time_it"), [drawn_round(rng, "quiet", 0.0, np.log1p(0.03)) for _ in range(12)])
    verdict = decide([series], RULES)[0]
    assert verdict.outcome == UNCHANGED
    assert verdict.p is not None
    assert verdict.p < 0.001
    stricter = Benchmark("speed.time_it", smallest_change=0.02)
    assert decide([Series(stricter, series.rounds)], RULES)[0].outcome == REGRESSION


def lucky(rng, follows: float, change: float = 0.0) -> list[Round]:
    """Rounds in which each process has a speed of its own, up to a fifth off, that the reference beside it has too."""

    def side(factor):
        speed = float(np.exp(rng.uniform(-0.2, 0.2)))
        return tuple(
            Sample(2e-3 * factor * f * speed**follows, 1e-3 * f * speed) for f in 1 + abs(rng.normal(0, 0.002, 12))
        )

    return [Round(side(1.0), side(1 + change)) for _ in range(12)]


def test_the_reference_finds_a_change_behind_processes_of_different_speeds():
    rounds = lucky(np.random.default_rng(6), 1.0, change=0.1)
    verdict = decide([Series(Benchmark("speed.time_it"), rounds)], RULES)[0]
    assert verdict.outcome == REGRESSION
    assert change_of(verdict) == pytest.approx(0.1, abs=0.02)
    blind = [Round(*(tuple(Sample(s.value, 1e-3) for s in half) for half in (turn.base, turn.head))) for turn in rounds]
    assert decide([Series(Benchmark("speed.time_it"), blind)], RULES)[0].outcome == UNCHANGED


def test_a_reference_that_has_nothing_to_do_with_the_benchmark_spoils_nothing():
    verdict = decide([Series(Benchmark("speed.time_it"), lucky(np.random.default_rng(6), 0.0, change=0.1))], RULES)[0]
    assert verdict.outcome == REGRESSION
    assert change_of(verdict) == pytest.approx(0.1, abs=0.02)


def test_a_machine_that_wanders_between_rounds_hides_nothing_though_the_reference_does_not_see_it():
    rng = np.random.default_rng(10)
    rounds = []
    for _ in range(12):
        speed = float(np.exp(rng.uniform(-0.3, 0.3)))
        sides = (f * speed * (1 + abs(rng.normal(0, 0.01))) for f in (1.0, 1.1))
        rounds.append(Round(*((Sample(1e-3 * side, 1e-3 * float(np.exp(rng.normal(0, 0.1)))),) for side in sides)))
    verdict = decide([Series(Benchmark("speed.time_it"), rounds)], RULES)[0]
    assert verdict.outcome == REGRESSION
    assert change_of(verdict) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("follows", [0.0, 0.5, 1.0])
def test_the_exponent_is_how_far_the_benchmark_follows(follows):
    rng = np.random.default_rng(7)
    reference = rng.normal(0, 0.1, (2, 30))
    value = follows * reference + rng.normal(0, 0.005, (2, 30)) + np.array([[0.0], [0.5]])  # sides differ: no matter
    sides = list(zip(value, reference, strict=True))
    assert reference_exponent(*sides) == pytest.approx(follows, abs=0.03)
    value[0, 0] += 5.0  # a process that was disturbed has no say
    assert reference_exponent(*sides) == pytest.approx(follows, abs=0.04)


def test_a_reference_that_never_varies_says_nothing_nor_do_few_points():
    value, same = np.arange(8.0), np.ones(8)
    assert reference_exponent((value, same)) == 0.0
    assert reference_exponent((value[:3], value[:3])) == 0.0
    assert reference_exponent((value, value)) == 1.0


def values(base, head, **about) -> Series:
    about = {"kind": "value", "unit": "bytes", **about}
    rounds = [Round((Sample(float(b)),), (Sample(float(h)),)) for b, h in zip(base, head, strict=True)]
    return Series(Benchmark("memory.track_it", **about), rounds)


@pytest.mark.parametrize(
    ("base", "head", "about", "outcome"),
    [
        (100, 120, {}, REGRESSION),
        (100, 80, {}, IMPROVEMENT),
        (100, 80, {"better": "higher"}, REGRESSION),
        (100, 120, {"better": "higher"}, IMPROVEMENT),
        (100, 104, {}, UNCHANGED),
        (100, 104, {"smallest_change": 0.03}, REGRESSION),
        (0.02, 0.08, {"smallest_difference": 0.1}, UNCHANGED),
        (0.02, 0.50, {"smallest_difference": 0.1}, REGRESSION),
        (0, 1, {}, REGRESSION),
        (0, 0, {}, UNCHANGED),
        (-2, -1, {}, REGRESSION),
    ],
)
def test_numbers_that_do_not_vary_are_judged_after_three_rounds(base, head, about, outcome):
    series = values([base] * 3, [head] * 3, **about)
    assert decide([series], RULES)[0].outcome == outcome
    assert not needs_more(series, RULES)
    json.dumps(decide([series], RULES)[0].to_json(), allow_nan=False)


def test_equal_numbers_need_no_second_round():
    assert not needs_more(values([7], [7]), RULES)
    assert needs_more(values([7], [8]), RULES)


def test_numbers_that_vary_are_judged_by_their_ranks():
    rng = np.random.default_rng(8)
    base = rng.normal(100, 2, 10)
    assert decide([values(base, rng.normal(100, 2, 10))], RULES)[0].outcome == UNCHANGED
    assert decide([values(base, rng.normal(120, 2, 10))], RULES)[0].outcome == REGRESSION
    # One peak that was disturbed accuses nobody.
    spoilt = rng.normal(100, 2, 10)
    spoilt[0] = 900
    assert decide([values(base, spoilt)], RULES)[0].outcome == UNCHANGED


def test_many_benchmarks_take_as_many_rounds_as_the_level_asks_for():
    assert RULES.judged_after(1) == RULES.most_rounds
    assert Rules(most_rounds=4).judged_after(1) > 4
    assert RULES.judged_after(1_000_000) > RULES.most_rounds


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"smallest_change": 0.0}, "smallest change"),
        ({"smallest_change": 1.0}, "smallest change"),
        ({"level": 0.0}, "level"),
        ({"most_rounds": 2}, "rounds must be at least 3"),
    ],
)
def test_rules_that_mean_nothing_are_refused(settings, said):
    with pytest.raises(RnnbenchError, match=said):
        Rules(**settings)


@pytest.mark.parametrize(
    ("failed", "skipped", "outcome"),
    [
        ({"head": "ValueError: no"}, {}, FAILED),
        ({"base": "no", "head": "ValueError: no"}, {}, FAILED),
        ({"base": "ValueError: no"}, {}, NEW),
        ({}, {"base": "no", "head": "no"}, SKIPPED),
        ({}, {"base": "no"}, NEW),
    ],
)
def test_what_has_no_numbers_says_why(failed, skipped, outcome):
    series = Series(Benchmark("speed.time_it"), [], failed, skipped)
    verdict = decide([series], RULES)[0]
    assert verdict.outcome == outcome
    assert "no" in verdict.reason
    assert not needs_more(series, RULES)


def test_samples_come_back_from_json_as_they_were():
    rng = np.random.default_rng(9)
    series = Series(Benchmark("a.time_it", ("'lstm'",), ("cell",)), [drawn_round(rng, "quiet", 0.0, 0.1)])
    held = json.loads(json.dumps(series.to_json()))
    assert Series.from_json(held) == series
    assert compare(Series.from_json(held), RULES).shifts == pytest.approx(compare(series, RULES).shifts)
