"""What many runs come to over seeds and tasks: interquartile mean, probability of improvement, performance profile.

Runs come as strata: one array of numbers for each task and length, one number for each run. Definitions are those of
Agarwal et al. 2021, arXiv:2108.13264 (rliable); where an interval is another one, its function says why.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from rnnbench.errors import RnnbenchError

RESAMPLES = 2000


class Estimate(NamedTuple):
    """A number and the ends of its confidence interval, NaN where the runs do not give any."""

    value: float
    low: float
    high: float


def interquartile_mean(
    strata: Sequence[ArrayLike], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return the mean of the middle half of all runs, with its stratified bootstrap interval.

    A quarter of the runs, rounded down, is dropped at each end. The interval is the percentile bootstrap: runs are
    drawn anew within each stratum, so that tasks keep their weight; the same ``seed`` gives the same interval. It says
    what other seeds could give on these tasks. Where every stratum has one run, there is none. It is a little narrow:
    of n runs in a stratum a bootstrap sees (n - 1) / n of the variance, so that with five seeds about nine of ten such
    intervals hold the true value (docs/compare.md).
    """
    held = checked_strata(strata)
    value = float(stats.trim_mean(np.concatenate(held), 0.25))
    if max(len(runs) for runs in held) == 1:
        return Estimate(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [runs[rng.integers(len(runs), size=(resamples, len(runs)))] for runs in held]
    means = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    return Estimate(value, *_ends(means, confidence))


def probability_of_improvement(
    ours: Sequence[ArrayLike], theirs: Sequence[ArrayLike], confidence: float = 0.95
) -> Estimate:
    """Return how probable it is that a run of ours comes out better than one of theirs, with its interval.

    ``ours[s]`` and ``theirs[s]``: larger is better, of the same task and length. In each stratum every run is held
    against every one of the other side, a tie counts half, and strata weigh the same: 1/2 says no difference.

    The interval is Newcombe's (2006, doi:10.1002/sim.2324, method 5) for the mean over strata: all p from which the
    estimate is within z standard errors of p itself, as Wilson's is for a rate. The bootstrap gives an interval without
    width where one side wins every pair, however few runs there are, and is too narrow before that.
    """
    sides = checked_strata(ours), checked_strata(theirs)
    same_strata(*sides)
    value = float(np.mean([share_of_wins(*pair) for pair in zip(*sides, strict=True)]))
    sizes = [(len(a), len(b)) for a, b in zip(*sides, strict=True)]
    z = float(stats.norm.isf((1 - confidence) / 2))

    def outside(p: float) -> float:
        return abs(value - p) - z * math.sqrt(_variance_of_wins(p, sizes))

    # At 0 and 1 the standard error is zero, so that any other p is closer to an estimate there than these are.
    inner = 1e-9
    low = 0.0 if value < inner else _root(outside, 0.0, min(value, 1 - inner))
    high = 1.0 if value > 1 - inner else _root(outside, max(value, inner), 1.0)
    return Estimate(value, low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.root_scalar(function, bracket=(low, high), method="brentq").root)


def share_of_wins(ours: NDArray, theirs: NDArray) -> float:
    """Return the share of all pairs of runs in which ours is larger, a tie counting half."""
    return float(wins(ours, theirs).mean())


def wins(ours: NDArray, theirs: NDArray) -> NDArray:
    """Return [runs of ours, runs of theirs]: 1 where ours is larger, 1/2 where both are equal, else 0."""
    return (np.sign(ours[:, None] - theirs[None, :]) + 1) / 2


def _variance_of_wins(p: float, sizes: Sequence[tuple[int, int]]) -> float:
    """Return the variance of the mean share of wins over strata with ``sizes`` runs, if it is ``p`` in each."""
    total = 0.0
    for ours, theirs in sizes:
        each = (ours + theirs) / 2 - 1
        total += p * (1 - p) * (1 + each * ((1 - p) / (2 - p) + p / (1 + p))) / (ours * theirs)
    return total / len(sizes) ** 2


class Profile(NamedTuple):
    """A performance profile: for each threshold the share of runs above it, and its interval."""

    thresholds: NDArray
    share: NDArray
    low: NDArray
    high: NDArray


def performance_profile(
    strata: Sequence[ArrayLike],
    thresholds: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Profile:
    """Return the share of runs that score above each threshold, the mean over strata, with pointwise intervals.

    ``thresholds``: 101 from 0 to 1 where none are given. Intervals are those of the stratified bootstrap.
    """
    held = checked_strata(strata)
    at = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, dtype=float)
    rng = np.random.default_rng(seed)
    above = (np.concatenate(held)[:, None] > at).astype(float)
    weights = np.concatenate([np.full(len(runs), 1 / (len(runs) * len(held))) for runs in held])
    counts = [rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=resamples) for runs in held]
    low, high = np.quantile(np.concatenate(counts, axis=1) * weights @ above, _tails(confidence), axis=0)
    if max(len(runs) for runs in held) == 1:
        low = high = np.full(len(at), np.nan)
    return Profile(at, weights @ above, low, high)


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def _ends(values: NDArray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, _tails(confidence))
    return float(low), float(high)


def checked_strata(strata: Sequence[ArrayLike]) -> list[NDArray]:
    """Return the strata as arrays, or raise RnnbenchError: each needs a run, and every run a finite number."""
    held = [np.asarray(runs, dtype=float) for runs in strata]
    if not held or not all(runs.ndim == 1 and len(runs) and np.isfinite(runs).all() for runs in held):
        raise RnnbenchError("an aggregate needs at least one run for each task and length, all of them finite numbers")
    return held


def same_strata(ours: Sequence[NDArray], theirs: Sequence[NDArray]) -> None:
    """Raise RnnbenchError unless both sides have equally many strata."""
    if len(ours) != len(theirs):
        raise RnnbenchError(f"both sides need the same tasks and lengths, got {len(ours)} and {len(theirs)}")
