"""The report's statistics against published or hand-worked values, and its numbers as texts."""

import math

import numpy as np
import pytest
from scipy import stats

from rnnbench.errors import RnnbenchError
from rnnbench.report.quantities import listed, number, percent, seconds, size, times, whole
from rnnbench.report.statistics import (
    ratio_of_medians,
    speed_ratio,
    thinned,
    wilson_interval,
)


def test_wilson_interval_is_the_root_of_the_score_test():
    """Its ends are the rates p at which |k/n - p| is z standard errors of p itself (Wilson 1927)."""
    z = stats.norm.ppf(0.975)
    for solved, runs in ((0, 3), (1, 3), (7, 9), (10, 10), (81, 263)):
        ends = [end for end in wilson_interval(solved, runs) if 0 < end < 1]
        assert ends
        for end in ends:
            assert abs(solved / runs - end) == pytest.approx(z * math.sqrt(end * (1 - end) / runs), rel=1e-9)


def test_wilson_interval_matches_newcombe_1998():
    """Table I of Newcombe 1998 (Statistics in Medicine 17, 857-872), method 3."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (solved, runs), interval in published.items():
        assert wilson_interval(solved, runs) == pytest.approx(interval, abs=5e-5)


@pytest.mark.parametrize(("solved", "runs"), [(0, 0), (2, 1), (-1, 3)])
def test_impossible_success_counts_are_refused(solved, runs):
    with pytest.raises(RnnbenchError, match=f"got {solved} of {runs}"):
        wilson_interval(solved, runs)


def test_interval_of_a_ratio_holds_the_true_one_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside, repeats = 0, 300
    for _ in range(repeats):
        above, below = rng.lognormal(math.log(2), 0.2, 25).tolist(), rng.lognormal(0, 0.2, 25).tolist()
        _, low, high = ratio_of_medians(above, below)
        inside += low is not None and high is not None and low <= 2 <= high
    low, high = stats.binomtest(inside, repeats).proportion_ci(0.999)
    assert low <= 0.95 <= high


def test_ratio_without_spread_has_no_width_and_one_sample_no_interval():
    assert ratio_of_medians([6.0] * 5, [2.0] * 7) == (3.0, 3.0, 3.0)
    assert ratio_of_medians([6.0], [2.0]) == (3.0, None, None)


@pytest.mark.parametrize(("above", "below"), [([], [1.0]), ([1.0], []), ([1.0, math.nan], [1.0]), ([0.0], [1.0])])
def test_ratio_refuses_what_is_no_time(above, below):
    with pytest.raises(RnnbenchError, match="positive"):
        ratio_of_medians(above, below)


def test_samples_of_equal_number_are_compared_in_pairs():
    """A drift that both sides share leaves paired ratios exact, and makes unpaired ones wide."""
    drift = np.linspace(1, 4, 9).tolist()
    twice = [2 * one for one in drift]
    assert speed_ratio(twice, drift) == (2.0, 2.0, 2.0)
    _, low, high = speed_ratio(twice, drift[:-1])
    assert low is not None
    assert high is not None
    assert low < 1.5 < 2.5 < high


def test_thinned_curve_keeps_its_ends_and_its_trend():
    steps = list(range(1, 1001))
    curve = thinned(steps, [1 / step for step in steps], 50)
    assert len(curve) == 50
    assert curve[0] == (1, 1.0)
    assert curve[-1] == (1000, 1 / 1000)
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})
    assert all(abs(value - 1 / step) <= 0.5 / step for step, value in curve)
    assert thinned([1, 2, 3], [1.0, math.nan, 2.0], 2) == [(1, 1.0), (3, 2.0)]
    assert thinned([1, 2], [1.0, 2.0], 50) == [(1, 1.0), (2, 2.0)]


def test_numbers_have_three_digits_and_a_unit():
    assert [number(value) for value in (0, 1234.5, 12.345, 0.0012345, 0.99996, 999.9)] == [
        "0",
        "1,230",
        "12.3",
        "0.00123",
        "1.00",
        "1,000",
    ]
    assert [seconds(value) for value in (2.5e-6, 0.0123, 3.0, 600)] == ["2.50 µs", "12.3 ms", "3.00 s", "10.0 min"]
    assert [size(value) for value in (512, 2048, 3 * 2**20, 5 * 2**30)] == ["512 B", "2.00 KiB", "3.00 MiB", "5.00 GiB"]
    assert (whole(12345.0), percent(0.756), times(1.5, 1.25, 1.75)) == ("12,345", "76%", "1.50× (1.25–1.75)")
    assert [form(math.nan) for form in (number, seconds, size, whole, percent)] == ["—"] * 5
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
