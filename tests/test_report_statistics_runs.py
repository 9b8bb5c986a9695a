"""Statistics over many runs: against hand-worked and published values, brute force, and simulated truth."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from rnnbench.errors import RnnbenchError
from rnnbench.report.aggregates import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    share_of_wins,
)
from rnnbench.report.significance import MOST_SEEDS, holm, rank_sum_test, seeds_needed
from rnnbench.report.survival import steps_to_solve

# Weeks in remission of 21 patients on 6-MP and 21 on placebo, 0: still in remission (Freireich et al. 1963).
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [bool(one) for one in (1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0)]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def training(chance: float, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Return outcomes as trials have them: solved by ``chance`` after some of 20 validations, else by their score."""
    steps = np.ceil(20 * rng.beta(2, 3, seeds)) / 21
    return np.where(rng.random(seeds) < chance, 1 - steps, rng.normal(0.3, 0.1, seeds) - 1)


def test_interquartile_mean_drops_a_quarter_at_each_end():
    assert interquartile_mean([[0.0, 1.0, 2.0, 100.0]]).value == 1.5
    assert interquartile_mean([[5.0, 1.0, 3.0]]).value == 3.0
    assert interquartile_mean([[-100.0, 1, 2, 3], [4, 5, 6, 1000.0]]).value == 3.5
    for nothing in ([], [[]], [[1.0, math.nan]]):
        with pytest.raises(RnnbenchError, match="at least one run"):
            interquartile_mean(nothing)


def test_the_stratified_bootstrap_never_mixes_tasks():
    """Runs of a task are all equal: whatever is drawn within it, the mean stays; drawn over both tasks it would not."""
    mean = interquartile_mean([[0.2] * 5, [0.8] * 5])
    assert (mean.low, mean.high) == (mean.value, mean.value)
    assert mean.value == pytest.approx(0.5)
    spread = interquartile_mean([[0.1, 0.3, 0.2, 0.2, 0.2], [0.8] * 5])
    assert spread.low < spread.value < spread.high
    assert spread == interquartile_mean([[0.1, 0.3, 0.2, 0.2, 0.2], [0.8] * 5]), "the same seed, the same interval"
    assert math.isnan(interquartile_mean([[0.5], [0.7]]).low)


def test_the_bootstrap_interval_is_the_quantiles_of_all_resamples():
    runs = [0.0, 0.1, 0.7, 1.0]
    every = [stats.trim_mean([runs[i] for i in drawn], 0.25) for drawn in itertools.product(range(4), repeat=4)]
    found = interquartile_mean([runs], resamples=20_000)
    assert (found.low, found.high) == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.02)


def test_interval_of_the_interquartile_mean_is_as_narrow_as_the_page_says():
    """docs/compare.md tells how often it holds the true mean: of five seeds a bootstrap sees 4/5 of the variance."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = interquartile_mean([rng.normal(0.5, 0.1, 5) for _ in range(6)], resamples=200)
        inside += found.low <= 0.5 <= found.high
    low, high = stats.binomtest(inside, 200).proportion_ci(0.999)
    assert low <= 0.92 <= high
    assert high < 0.98


def test_probability_of_improvement_is_the_mean_over_tasks_of_the_pairs_won():
    ours, theirs = [[1, 2, 3], [5, 5]], [[2, 2], [5, 6, 7]]
    by_hand = [(0 + 0 + 0.5 + 0.5 + 1 + 1) / 6, (0.5 + 0 + 0) * 2 / 6]
    assert probability_of_improvement(ours, theirs).value == pytest.approx(np.mean(by_hand))
    rng = np.random.default_rng(1)
    a, b = rng.random(7), rng.random(9)
    assert share_of_wins(a, b) == pytest.approx(stats.mannwhitneyu(a, b).statistic / 63)
    with pytest.raises(RnnbenchError, match="the same tasks"):
        probability_of_improvement(ours, theirs[:1])


def test_interval_of_the_probability_of_improvement_is_the_root_of_newcombes_equation():
    """At its ends the estimate lies z standard errors away, these being those of the end itself (Hanley & McNeil)."""
    z = stats.norm.isf(0.025)
    a, b = np.array([3.0, 5, 6, 8]), np.array([1.0, 2, 4, 7])
    found = probability_of_improvement([a], [b])
    for p in (found.low, found.high):
        q1, q2 = p / (2 - p), 2 * p**2 / (1 + p)
        variance = (p * (1 - p) + 3 * (q1 - p**2) + 3 * (q2 - p**2)) / 16
        assert abs(found.value - p) == pytest.approx(z * math.sqrt(variance), rel=1e-6)
    swapped = probability_of_improvement([b], [a])
    assert (swapped.low, swapped.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize(("ours", "theirs"), [(0.9, 0.2), (0.5, 0.5), (1.0, 0.1)])
def test_interval_of_the_probability_of_improvement_holds_the_true_one(ours, theirs):
    """With five seeds of outcomes as they come, where one side mostly solves its task and the other does not."""
    rng = np.random.default_rng(2)
    true = share_of_wins(training(ours, 3000, rng), training(theirs, 3000, rng))
    inside = 0
    for _ in range(300):
        found = probability_of_improvement([training(ours, 5, rng)], [training(theirs, 5, rng)])
        inside += found.low <= true <= found.high
    assert inside / 300 > 0.9
    certain = probability_of_improvement([[1.0] * 5], [[0.0] * 5])
    assert certain.value == certain.high == 1
    assert certain.low < 0.7, "five seeds do not say for certain"


def test_performance_profile_is_the_share_of_runs_above_each_threshold():
    profile = performance_profile([[0.1, 0.5, 0.9], [0.5, 0.5]], thresholds=[0.0, 0.1, 0.5, 0.95])
    assert profile.share == pytest.approx([1, (2 / 3 + 1) / 2, 1 / 6, 0])
    assert (profile.low <= profile.share).all()
    assert (profile.share <= profile.high).all()
    # Of three runs one is above 0.5: a resample has 0 to 3 of them, binomially; the other task adds none.
    assert profile.high[2] == pytest.approx(stats.binom(3, 1 / 3).ppf(0.975) / 3 / 2)


def test_the_statistics_of_a_full_sweep_take_a_moment():
    """12 cells x 12 tasks and lengths x 5 seeds: numbers of a report, not of an hour."""
    rng = np.random.default_rng(3)
    cells = [[rng.random(5) for _ in range(12)] for _ in range(12)]
    import time

    begun = time.process_time()
    for cell in cells:
        interquartile_mean(cell)
        performance_profile(cell)
        probability_of_improvement(cell, cells[0])
    assert time.process_time() - begun < 5


def test_the_rank_sum_test_is_exact():
    rng = np.random.default_rng(4)
    for ours, theirs in ((3, 3), (4, 6), (8, 8)):
        a, b = rng.random(ours), rng.random(theirs) + 0.2
        assert rank_sum_test([a], [b]) == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)
    assert rank_sum_test([[1] * 5], [[0] * 5]) == pytest.approx(2 / math.comb(10, 5))
    assert rank_sum_test([[1, 1]], [[1, 1]]) == 1.0


def test_the_rank_sum_test_with_ties_and_strata_is_the_share_of_all_divisions():
    ours, theirs = [[1, 2, 2], [0, 3]], [[0, 1, 2], [0, 0, 1]]

    def rank_sum(runs, first):
        ranks = stats.rankdata(runs)
        return sum(ranks[list(first)]) - len(first) * (len(runs) + 1) / 2

    pooled = [a + b for a, b in zip(ours, theirs, strict=True)]
    divisions = [list(itertools.combinations(range(len(runs)), len(a))) for runs, a in zip(pooled, ours, strict=True)]
    observed = sum(rank_sum(runs, range(len(a))) for runs, a in zip(pooled, ours, strict=True))
    sums = [
        sum(rank_sum(runs, first) for runs, first in zip(pooled, firsts, strict=True))
        for firsts in itertools.product(*divisions)
    ]
    expected = np.mean([abs(one) >= abs(observed) - 1e-9 for one in sums])
    assert rank_sum_test(ours, theirs) == pytest.approx(expected)


def test_the_rank_sum_test_is_approximated_where_there_are_many_runs():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 12, 120), rng.integers(0, 12, 130) + 1
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True).pvalue
    assert rank_sum_test([a], [b]) == pytest.approx(expected, rel=0.02)


def test_the_rank_sum_test_finds_what_is_not_there_in_five_of_a_hundred_at_most():
    rng = np.random.default_rng(6)
    for seeds in (4, 5, 8):
        p = [rank_sum_test([training(0.5, seeds, rng)], [training(0.5, seeds, rng)]) for _ in range(600)]
        assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_holm_against_the_worked_example():
    """Each p-value times the number of hypotheses not yet rejected, never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]


def pair(seeds: int, shift: float, alike: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two sides that share a part ``alike`` of their variance seed by seed."""
    data = math.sqrt(alike) * rng.normal(size=seeds)
    own = rng.normal(size=(2, seeds)) * math.sqrt(1 - alike)
    return data + own[0] + shift, data + own[1]


@pytest.mark.parametrize(
    "draw",
    [
        lambda n, rng: (training(0.9, n, rng), training(0.2, n, rng)),
        lambda n, rng: (training(0.8, n, rng), training(0.3, n, rng)),
        lambda n, rng: pair(n, 1.0, 0.0, rng),
        lambda n, rng: pair(n, 1.0, 0.6, rng),
    ],
    ids=["solving or not", "a smaller difference", "independent", "alike on a seed"],
)
def test_the_seeds_that_are_named_show_the_difference_in_four_of_five_repetitions(draw):
    rng = np.random.default_rng(7)
    ours, theirs = draw(800, rng)
    seeds = seeds_needed([ours], [theirs])
    assert seeds is not None
    assert 4 <= seeds < 40
    repetitions = 300
    found = 0
    for _ in range(repetitions):
        one, other = draw(seeds, rng)
        found += rank_sum_test([one], [other]) <= 0.05
    assert 0.7 < found / repetitions < 0.93
    weaker = max(4, seeds // 3)
    fewer = sum(rank_sum_test(*([side] for side in draw(weaker, rng))) <= 0.05 for _ in range(repetitions))
    assert fewer / repetitions < 0.62, "a third of the seeds would not do"


def test_more_tasks_need_fewer_seeds_and_a_stricter_level_more():
    rng = np.random.default_rng(8)
    ours, theirs = zip(*[pair(400, 0.7, 0.2, rng) for _ in range(4)], strict=True)
    one, four = seeds_needed(ours[:1], theirs[:1]), seeds_needed(ours, theirs)
    strict = seeds_needed(ours, theirs, level=0.01)
    assert one is not None
    assert four is not None
    assert strict is not None
    assert four < strict < one
    assert four == pytest.approx(one / 4, abs=4)


def test_no_number_of_seeds_shows_what_is_not_there():
    rng = np.random.default_rng(9)
    runs = rng.random(6)
    assert seeds_needed([runs], [runs]) is None
    assert seeds_needed([[0.5]], [[0.1]]) is None, "a single run says nothing on spread"
    clear = seeds_needed([[1.0, 1.1, 1.2]], [[0.0, 0.1, 0.2]])
    assert clear == 4, "the fewest with which the test can reach 0.05 at all"
    assert seeds_needed([[1.0, 1.1, 1.2]], [[0.0, 0.1, 0.2]], level=0.05 / 66) == 7
    small = np.concatenate([np.zeros(500), [1.0]])
    assert seeds_needed([small], [small[::-1] * 0.5]) is None
    assert MOST_SEEDS == 1000
    for level, power in ((0, 0.8), (0.05, 1)):
        with pytest.raises(RnnbenchError, match="between 0 and 1"):
            seeds_needed([runs], [runs + 1], level, power)


def test_steps_to_solve_of_freireichs_trial():
    """Medians as everywhere published; intervals as SAS LIFETEST gives them with its log(-log) default."""
    treated, placebo = steps_to_solve(TREATED, RELAPSED), steps_to_solve(PLACEBO, [True] * 21)
    assert treated.median == (23, 13, math.inf)
    assert placebo.median == (8, 4, 11)
    assert treated.mean.value == pytest.approx(23.287, abs=1e-3)
    assert placebo.mean.value == pytest.approx(np.mean(PLACEBO))


def test_the_restricted_mean_and_its_error_are_those_of_r():
    """R's survfit prints rmean 37.9 and se(rmean) 10.7 for these seven, up to 100; our variance is 7/6 of its."""
    found = steps_to_solve([10, 15, 23, 30, 35, 52, 100], [*[True] * 6, False])
    assert found.mean.value == pytest.approx(37.857, abs=1e-3)
    reach = stats.t.isf(0.025, 6) * 10.739 * math.sqrt(7 / 6)
    assert found.mean.high - found.mean.value == pytest.approx(reach, rel=1e-4)


def test_with_one_budget_the_mean_has_the_usual_interval():
    steps, solved = [100, 300, 300, 500, 800, 800], [True, True, True, True, False, False]
    found = steps_to_solve(steps, solved)
    expected = stats.t.interval(0.95, 5, np.mean(steps), stats.sem(steps))
    assert found.mean == pytest.approx((np.mean(steps), *expected))
    assert found.median.value == 400, "level at one half between 300 and 500"
    assert found.budget == 800


def test_runs_that_did_not_solve_count_as_longer_than_their_budget():
    assert steps_to_solve([100, 800, 800], [True, False, False]).median.value == math.inf
    never = steps_to_solve([800, 800], [False, False])
    assert never.median.value == math.inf
    assert never.mean.value == 800
    assert math.isnan(never.mean.high)
    half = steps_to_solve([100, 800], [True, False])
    assert half.median.value == 100
    single = steps_to_solve([300], [True])
    assert single.median.value == 300
    assert math.isnan(single.median.low)
    for steps, solved in (([], []), ([1.0], []), ([math.nan], [True]), ([-1.0], [True])):
        with pytest.raises(RnnbenchError, match="steps to solve need"):
            steps_to_solve(steps, solved)
