"""Ratio of two contenders' times with its interval, from samples taken in pairs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rnnbench.errors import RnnbenchError


class Ratio(NamedTuple):
    """Median of the paired ratios and the ends of its confidence interval."""

    ratio: float
    low: float
    high: float


def paired_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Ratio:
    """Return how many times longer ``numerator`` takes: the median over pairs of samples, with a bootstrap interval.

    Samples of one round are taken within milliseconds of each other, so what slows the machine down for a while
    cancels in their ratio; the median ignores rounds in which only one of the two was disturbed.

    ``numerator`` and ``denominator``: seconds, sample ``i`` of both taken in round ``i``; at least two of each.
    The interval is the percentile bootstrap (Efron and Tibshirani 1993, chapter 13), pairs drawn together.
    """
    above, below = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    if above.ndim != 1 or above.shape != below.shape or len(above) < 2:
        raise RnnbenchError(
            f"numerator and denominator must be equally many samples, at least 2, got {above.shape} and {below.shape}"
        )
    if not 0 < confidence < 1:
        raise RnnbenchError(f"confidence must lie between 0 and 1, got {confidence}")
    if not (np.isfinite([above, below]).all() and (above > 0).all() and (below > 0).all()):
        raise RnnbenchError("numerator and denominator must hold positive, finite seconds")
    ratios = above / below
    drawn = np.random.default_rng(seed).integers(len(ratios), size=(resamples, len(ratios)))
    medians = np.median(ratios[drawn], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Ratio(float(np.median(ratios)), float(low), float(high))
