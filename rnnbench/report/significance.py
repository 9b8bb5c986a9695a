"""Whether a difference between two cells is real at the given seeds, and how many seeds would show it.

Runs come as strata, as in ``rnnbench.report.aggregates``: one array for each task and length, larger is better.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from rnnbench.errors import RnnbenchError
from rnnbench.report.aggregates import checked_strata, same_strata, wins

EXACT_UP_TO = 20_000
"""Rank sums that the exact distribution may reach, in half ranks over all strata: below a second."""
MOST_SEEDS = 1000
"""No number of seeds above it is named."""


def rank_sum_test(ours: Sequence[ArrayLike], theirs: Sequence[ArrayLike]) -> float:
    """Return the two-sided p-value of no difference: the stratified rank-sum test, ties as mean ranks.

    Under the null hypothesis both sides' runs have one distribution in each stratum, so that any division of the runs
    into sides was equally likely: the p-value is the share of divisions whose rank sums, added over strata, lie at
    least as far from their mean. It is exact for the small numbers of seeds that matter; above ``EXACT_UP_TO`` it is
    the normal approximation with tie and continuity corrections.

    Seeds are not taken in pairs. Both sides of a seed share their data, which can only make them more alike: the test
    is then conservative. The paired sign-flip test cannot reach 0.05 with five seeds at all (its least p is 1/16).
    Sources: Wilcoxon 1945, doi:10.2307/3001968; van Elteren 1960, with equal weights.
    """
    sides = checked_strata(ours), checked_strata(theirs)
    same_strata(*sides)
    pooled = [np.concatenate(pair) for pair in zip(*sides, strict=True)]
    ranks = [np.rint(2 * stats.rankdata(runs)).astype(int) for runs in pooled]  # half ranks: whole numbers
    sizes = [len(runs) for runs in sides[0]]
    centre = sum(n * (len(r) + 1) for n, r in zip(sizes, ranks, strict=True))
    deviation = abs(sum(int(r[:n].sum()) for n, r in zip(sizes, ranks, strict=True)) - centre)
    if deviation == 0:
        return 1.0
    if sum(len(r) * (len(r) + 1) for r in ranks) > EXACT_UP_TO:
        variance = sum(_variance_of_sum(n, r) for n, r in zip(sizes, ranks, strict=True))
        return float(min(1.0, 2 * stats.norm.sf((deviation - 1) / math.sqrt(variance))))
    chances = np.ones(1)
    for n, r in zip(sizes, ranks, strict=True):
        chances = np.convolve(chances, _chances_of_sum(n, r))
    sums = np.arange(len(chances))
    return float(min(1.0, chances[np.abs(sums - centre) >= deviation].sum()))


def _chances_of_sum(count: int, ranks: NDArray) -> NDArray:
    """Return the chance of every sum of ``count`` of the ``ranks`` drawn without replacement."""
    ways = np.zeros((count + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        added = ways[:-1, : ways.shape[1] - rank].copy()
        ways[1:, rank:] += added
    return ways[count] / ways[count].sum()


def _variance_of_sum(count: int, ranks: NDArray) -> float:
    total = len(ranks)
    return count * (total - count) / (total - 1) * float(np.var(ranks))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number: below 0.05 they claim falsely in 5% of all families, at most.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected.tolist()


def seeds_needed(
    ours: Sequence[ArrayLike], theirs: Sequence[ArrayLike], level: float = 0.05, power: float = 0.8
) -> int | None:
    """Return the seeds of each side with which ``rank_sum_test`` finds a difference like this one in ``power`` of runs.

    The difference is taken to be as large as it looks here: its share of wins, the spread of the runs behind it (the
    variance of the share of wins from each run's own share) and, where both sides have equally many runs, how the two
    runs of a seed go together. ``level``: below which p must come out. None where more than ``MOST_SEEDS`` would be
    needed, or a side has a single run in some stratum. From few seeds it is a rough number.
    Source: the sample size of Noether 1987, doi:10.1080/01621459.1987.10478478, with the variance under the alternative
    of DeLong et al. 1988, doi:10.2307/2531595.
    """
    sides = checked_strata(ours), checked_strata(theirs)
    same_strata(*sides)
    if not (0 < level < 1 and 0 < power < 1):
        raise RnnbenchError(f"level and power must lie between 0 and 1, got {level} and {power}")
    if min(len(runs) for side in sides for runs in side) < 2:
        return None
    pairs = list(zip(*sides, strict=True))
    strata = len(pairs)
    shares = [wins(*pair) for pair in pairs]
    distance = abs(float(np.mean([share.mean() for share in shares])) - 0.5)
    # Per seed: of the mean over strata under the alternative, then for each number of seeds under the null hypothesis.
    spread = sum(_variance_per_seed(share) for share in shares) / strata**2
    n = np.arange(2, MOST_SEEDS + 1)
    untied = float(np.mean([_untied(np.concatenate(pair)) for pair in pairs]))
    null = (2 * n + 1) / (12 * n**2) * untied / strata
    excess = distance - stats.norm.isf(level / 2) * np.sqrt(null)
    deviation = np.sqrt(spread / n)
    found = np.where(deviation > 0, stats.norm.cdf(excess / np.where(deviation > 0, deviation, 1)), excess >= 0)
    if distance == 0.5:  # every pair is won, and would be again: then only the least p of the exact test counts
        found[:] = 1.0
    enough = np.flatnonzero((found >= power) & (_least_p(n, strata) <= level))
    return int(n[enough[0]]) if len(enough) else None


def _variance_per_seed(share: NDArray) -> float:
    """Return n times the variance of the mean of ``share`` [ours, theirs], from the share of wins of each run."""
    mine, others = share.mean(axis=1), share.mean(axis=0)
    if len(mine) == len(others):
        return float(np.var(mine + others, ddof=1))  # the two runs of a seed together
    return float(np.var(mine, ddof=1) + np.var(others, ddof=1))


def _untied(pooled: NDArray) -> float:
    """Return what ties leave of the variance of a rank sum: 1 without any, 0 where all runs are equal."""
    counts = np.unique(pooled, return_counts=True)[1].astype(float)
    total = float(len(pooled))
    return 1 - float((counts**3 - counts).sum()) / (total**3 - total)


def _least_p(runs: NDArray, strata: int) -> NDArray:
    """Return the smallest p-value that so many runs on each side can give: two divisions out of all."""
    divisions = special.gammaln(2 * runs + 1) - 2 * special.gammaln(runs + 1)
    return np.minimum(1.0, 2 * np.exp(-strata * divisions))
