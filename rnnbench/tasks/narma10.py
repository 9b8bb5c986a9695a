"""The tenth-order nonlinear autoregressive moving average, NARMA10.

Atiya & Parlos 2000, New results on recurrent network training, IEEE Trans. Neural Networks 11(3), equation 86; Jaeger
2002, Adaptive nonlinear system identification with echo state networks. Public versions differ: some sum the ten values
before the last one, some use u[t-10] u[t-1]. That some sequences diverge is known: Kubota et al. 2019,
arXiv:1906.04608.
"""

import functools

import numpy as np

from rnnbench.tasks.task import EVALUATED, Batch, Split, Task, evaluation_rng

ORDER = 10
WASHOUT = 50
DIVERGED = 2.0
"""Outputs lie in 0.1..1.2 or so; a sequence with one beyond 2 is taken to diverge."""


class Narma10(Task):
    """Follow a nonlinear system of tenth order that is driven by noise: predict its next output.

    x: u ~ U[0, 0.5]. Target at every step: y[t+1] = 0.3 y[t] + 0.05 y[t] (y[t] + ... + y[t-9]) + 1.5 u[t-9] u[t] + 0.1,
    with y = u = 0 before the first step; the first 50 steps, in which y rises from 0, do not count. A sequence that
    exceeds 2, since it diverges, is drawn again. An output is right within 0.04; nearly all are when the normalised
    squared error, over the variance of y, is near 0.04. ``length`` is T.

    Chance: always the mean of the targets of the test set, whose squared error is their variance.
    """

    kind = "regression"
    readout = "every"
    default_length = 200
    longer_is_harder = False
    minimum_length = WASHOUT + 1
    input_size = 1
    output_size = 1
    chance_of = "loss"
    tolerance = 0.04
    solved_at = 0.95

    def __init__(self, length: int | None = None):
        super().__init__(length)
        self.chance_loss, self.chance_score = _test_moments(self.length)

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        return _batch(rng, size, self.length)


def _batch(rng: np.random.Generator, size: int, length: int) -> Batch:
    u, y = np.empty((2, length, size))
    missing = np.arange(size)
    while missing.size:
        u[:, missing] = 0.5 * rng.random((length, missing.size))
        y[:, missing] = _response(u[:, missing])
        missing = missing[(y[:, missing] > DIVERGED).any(axis=0)]
    mask = np.zeros(u.shape, bool)
    mask[WASHOUT:] = True
    return Batch(u[..., None].astype(np.float32), y[..., None].astype(np.float32), mask)


def _response(u: np.ndarray) -> np.ndarray:
    """Return y[t+1] at every step t for inputs [T, B]."""
    before = np.zeros((ORDER, u.shape[1]))
    y = np.concatenate([before, np.zeros((1, u.shape[1])), np.empty_like(u)])  # y[ORDER + t] is y at step t
    driven = 1.5 * np.concatenate([before[1:], u])[: len(u)] * u + 0.1
    with np.errstate(over="ignore", invalid="ignore"):
        for t, drive in enumerate(driven):
            now = y[ORDER + t]
            y[ORDER + t + 1] = 0.3 * now + 0.05 * now * y[t + 1 : ORDER + t + 1].sum(axis=0) + drive
    return np.nan_to_num(y[ORDER + 1 :], nan=np.inf)


@functools.cache
def _test_moments(length: int) -> tuple[float, float]:
    """Return the squared error and the score, on the test set, of predicting always the mean of its targets."""
    batch = _batch(evaluation_rng(0, "test"), EVALUATED, length)
    targets = batch.target[batch.mask].astype(np.float64)
    errors = np.abs(targets - targets.mean())
    return float(np.mean(errors**2)), float(np.mean(errors <= Narma10.tolerance))


TASK = Narma10
