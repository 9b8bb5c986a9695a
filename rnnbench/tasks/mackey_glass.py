"""The Mackey-Glass series, fifteen steps ahead.

Mackey & Glass 1977, Science 197; as a test of recurrent networks with delay 17 and 15 steps ahead: Voelker et al. 2019,
Legendre memory units, NeurIPS, which squashes the series and has sequences of 5000 steps.
"""

import functools

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.tasks.task import SPLITS, Batch, Predictor, Split, Task

DELAY, AHEAD = 17, 15
EULER_STEPS = 10
"""Steps of Euler's method for one time step, as in public code."""
SETTLING, STEPS, SERIES = 500, 2000, 16
"""Steps until a series is on its attractor, then steps that are kept, and series in each split."""
MEAN, DEVIATION = 0.9286, 0.2262
WASHOUT = DELAY + 3
MAXIMUM_LENGTH = 1000


class MackeyGlass(Task):
    """Predict the Mackey-Glass series, mildly chaotic with a delay of 17, fifteen time steps ahead.

    dy/dt = 0.2 y(t - 17) / (1 + y(t - 17)^10) - 0.1 y(t), from random histories around 1.2. x and target: y(t) and
    y(t + 15), each less the series' mean and over its standard deviation (0.9286 and 0.2262). The last 17 steps decide
    what comes; the first 20 steps of a sequence do not count. ``length`` is T, up to 1000: windows of 16 series of 2000
    steps in each split. An output is right within 0.1, a tenth of a standard deviation.

    Chance: always the mean of the targets of the test set, whose squared error is their variance, near 1. Persistence,
    y(t), is worse: 15 steps are a third of the series' rough period.
    """

    kind = "regression"
    readout = "every"
    default_length = 200
    longer_is_harder = False
    minimum_length = WASHOUT + 1
    input_size = 1
    output_size = 1
    chance_of = "loss"
    tolerance = 0.1
    solved_at = 0.95

    def __init__(self, length: int | None = None):
        super().__init__(length)
        if self.length > MAXIMUM_LENGTH:
            raise RnnbenchError(f"task 'mackey_glass' takes a length of at most {MAXIMUM_LENGTH}, got {self.length}")
        batches = self.evaluation()
        self._mean = float(np.concatenate([batch.target[batch.mask] for batch in batches]).mean(dtype=np.float64))
        self.chance_loss, self.chance_score = self._measure(self._constant, batches)

    def _windows(self) -> int:
        """Return how many windows that share no step a series has room for."""
        return STEPS // (self.length + AHEAD)

    def _evaluation_size(self, split: Split) -> int:
        return SERIES * self._windows()

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        if first is None:
            series = rng.integers(SERIES, size=size)
            start = rng.integers(STEPS - self.length - AHEAD, size=size, endpoint=True)
        else:
            series, window = np.divmod(np.arange(first, first + size), self._windows())
            start = window * (self.length + AHEAD)
        steps = start + np.arange(self.length)[:, None]
        values = _series()[split]
        mask = np.zeros(steps.shape, bool)
        mask[WASHOUT:] = True
        return Batch(values[steps, series][..., None], values[steps + AHEAD, series][..., None], mask)

    def _predictors(self) -> dict[str, Predictor]:
        return {"mean": self._constant, "persistence": lambda batch: batch.x}

    def _constant(self, batch: Batch) -> np.ndarray:
        return np.full(batch.target.shape, self._mean)


@functools.cache
def _series() -> dict[str, np.ndarray]:
    """Return split -> its series, float32 [steps, series], in standard deviations from the mean."""
    count = SERIES * len(SPLITS)
    held = DELAY * EULER_STEPS
    y = np.empty((held + 1 + (SETTLING + STEPS) * EULER_STEPS, count))
    y[: held + 1] = 1.2 + 0.2 * (np.random.default_rng(1977).random((held + 1, count)) - 0.5)
    for now in range(held, len(y) - 1):
        delayed = y[now - held]
        y[now + 1] = y[now] + (0.2 * delayed / (1 + delayed**10) - 0.1 * y[now]) / EULER_STEPS
    sampled = y[held + 1 + SETTLING * EULER_STEPS :: EULER_STEPS]
    parts = np.split(((sampled - MEAN) / DEVIATION).astype(np.float32), len(SPLITS), axis=1)
    return dict(zip(SPLITS, parts, strict=True))


TASK = MackeyGlass
