"""Steps to solve where some runs never did: those are censored at their budget, and count."""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from rnnbench.errors import RnnbenchError
from rnnbench.report.aggregates import Estimate


class StepsToSolve(NamedTuple):
    """Steps until half of the runs had solved their task, and their mean within the budget.

    ``median``: infinite where fewer than half did; so may ``high`` be. ``mean``: of the steps spent until solved, the
    whole ``budget`` where a run never did.
    """

    median: Estimate
    mean: Estimate
    budget: float


def steps_to_solve(steps: Sequence[float], solved: Sequence[bool], confidence: float = 0.95) -> StepsToSolve:
    """Return the Kaplan-Meier median and restricted mean of steps to solve.

    ``steps``: of each run, to its solution, or its budget where it was not ``solved``. A run that diverged will never
    solve its task, so it too counts with its whole budget and not with the step at which it ended.

    The interval of the median (Brookmeyer & Crowley 1982, doi:10.2307/2530286) holds the steps at which the interval of
    the unsolved share, after log(-log), includes one half. That of the mean is Student's, with Greenwood's variance
    times n / (n - 1): the usual interval of a mean where all budgets are equal. NaN for a single run.
    Source: Kaplan & Meier 1958, doi:10.1080/01621459.1958.10501452.
    """
    at, events = np.asarray(steps, dtype=float), np.asarray(solved, dtype=bool)
    if at.ndim != 1 or at.shape != events.shape or not len(at) or not (np.isfinite(at).all() and (at >= 0).all()):
        raise RnnbenchError("steps to solve need as many steps, finite and not negative, as outcomes, at least one")
    budget = float(at.max())
    if not events.any():
        # Nothing was seen to end: how much longer it would take cannot be said.
        return StepsToSolve(Estimate(math.inf, math.nan, math.nan), Estimate(budget, math.nan, math.nan), budget)
    return StepsToSolve(_median(at, events, confidence), _of_mean(at, events, budget, confidence), budget)


def _median(at: np.ndarray, events: np.ndarray, confidence: float) -> Estimate:
    unsolved = stats.ecdf(stats.CensoredData.right_censored(at, ~events)).sf
    times, share = np.asarray(unsolved.quantiles, dtype=float), np.asarray(unsolved.probabilities, dtype=float)
    if len(at) == 1:
        return Estimate(_first(times, share <= 0.5), math.nan, math.nan)
    with warnings.catch_warnings():
        # At a share of 0 or 1 the transformed interval has no width; that is made up for below.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = unsolved.confidence_interval(confidence, method="log-log")
    low = np.where(np.isnan(interval.low.probabilities), share, interval.low.probabilities)
    high = np.where(np.isnan(interval.high.probabilities), share, interval.high.probabilities)
    level = np.flatnonzero(np.isclose(share, 0.5))
    value = _first(times, share < 0.5)
    if len(level):  # level at one half: the middle up to where it falls, as of any sample
        value = float(times[level[0]] if math.isinf(value) else (times[level[0]] + value) / 2)
    return Estimate(value, _first(times, low <= 0.5), _first(times, high < 0.5))


def _first(times: np.ndarray, there: np.ndarray) -> float:
    places = np.flatnonzero(there)
    return float(times[places[0]]) if len(places) else math.inf


def _of_mean(at: np.ndarray, events: np.ndarray, budget: float, confidence: float) -> Estimate:
    times = np.unique(at[events])
    at_risk = np.array([(at >= time).sum() for time in times], dtype=float)
    ending = np.array([(at[events] == time).sum() for time in times], dtype=float)
    share = np.concatenate([[1.0], np.cumprod(1 - ending / at_risk)])
    edges = np.concatenate([[0.0], times, [budget]])
    pieces = share * np.diff(edges)
    mean = float(pieces.sum())
    if len(at) == 1:
        return Estimate(mean, math.nan, math.nan)
    left = np.cumsum(pieces[::-1])[::-1][1:]  # the area to the right of each solution
    going_on = at_risk > ending
    greenwood = ending[going_on] / (at_risk[going_on] * (at_risk[going_on] - ending[going_on]))
    variance = float((left[going_on] ** 2 * greenwood).sum()) * len(at) / (len(at) - 1)
    reach = float(stats.t.isf((1 - confidence) / 2, len(at) - 1)) * math.sqrt(variance)
    return Estimate(mean, max(0.0, mean - reach), min(budget, mean + reach))
