"""The statistics of the report: success rates, ratios of times, and what stands for a curve of many steps."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from rnnbench.errors import RnnbenchError
from rnnbench.measure.ratio import paired_ratio

RESAMPLES = 4000


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a success rate, as fractions of 1.

    ``successes`` of ``trials`` independent runs succeeded. Raises RnnbenchError unless ``0 <= successes <= trials`` and
    ``trials >= 1``. Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise RnnbenchError(f"successes must lie between 0 and trials >= 1, got {successes} of {trials}")
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def ratio_of_medians(
    numerator: Sequence[float], denominator: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float | None, float | None]:
    """Return ``(ratio, low, high)`` of the medians of two independent sets of samples, with its percentile bootstrap.

    For samples that were not taken in pairs (``rnnbench.measure.ratio.paired_ratio`` has those). Sides that both have a
    single sample have no interval: ``low`` and ``high`` are None. The same ``seed`` gives the same interval. Raises
    RnnbenchError where a side is empty or a sample not a positive number.
    Source: Efron & Tibshirani 1993, "An introduction to the bootstrap", chapters 8 and 13.
    """
    sides = [np.asarray(side, dtype=float) for side in (numerator, denominator)]
    if not all(side.size and np.isfinite(side).all() and (side > 0).all() for side in sides):
        raise RnnbenchError("a ratio needs at least one sample on each side, all of them positive numbers")
    ratio = float(np.median(sides[0]) / np.median(sides[1]))
    if max(side.size for side in sides) == 1:
        return ratio, None, None
    rng = np.random.default_rng(seed)
    above, below = (np.median(side[rng.integers(side.size, size=(RESAMPLES, side.size))], axis=1) for side in sides)
    low, high = np.quantile(above / below, [(1 - confidence) / 2, (1 + confidence) / 2])
    return ratio, float(low), float(high)


def speed_ratio(slower: Sequence[float], faster: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return ``(ratio, low, high)`` of two contenders' samples on one cell and shape.

    Sample ``i`` of both was taken in round ``i`` where there are equally many: the ratio is then the paired one.
    """
    if len(slower) == len(faster) > 1:
        ratio, low, high = paired_ratio(slower, faster)
        return ratio, low, high
    return ratio_of_medians(slower, faster)


def thinned(steps: Sequence[float], values: Sequence[float], limit: int) -> list[tuple[float, float]]:
    """Return a curve as at most ``limit`` (>= 2) points.

    The first and the last point are kept as they are; each point between stands for a stretch of equally many
    neighbours, with their middle step and median value. Non-finite values are left out: a curve ends where it diverged.
    """
    points = [(float(s), float(v)) for s, v in zip(steps, values, strict=True) if np.isfinite(v)]
    if len(points) <= limit:
        return points
    stretches = np.array_split(np.asarray(points[1:-1]), limit - 2) if limit > 2 else []
    middle = [(float(s[len(s) // 2, 0]), float(np.median(s[:, 1]))) for s in stretches]
    return [points[0], *middle, points[-1]]
