"""The next value of a column of the user's own data, against persistence.

Hyndman & Athanasopoulos 2021, Forecasting: principles and practice, 3rd edition, sections 5.2 (the naive and the
seasonal naive method, the baselines) and 9.1 (differencing: the target is a change).
"""

import hashlib

import numpy as np

from rnnbench.errors import RnnbenchError, positive
from rnnbench.tasks._csv_column import read_column
from rnnbench.tasks.task import Batch, Predictor, Split, Task

TRAIN_PERCENT, VALIDATION_PERCENT = 70, 15
MINIMUM_WINDOWS = 20
"""So few rows still give 14 windows to train on and 3 each for validation and test."""


class Forecast(Task):
    """Forecast the next value of a CSV column from the values before it: forecast:prices.csv:close.

    ``argument``: "path:column", parted at the last colon. ``window``: past values that the network sees, T; ``length``
    is another name for it.
    x [T, B, 2]: each past value, standardised, and its change from the step before (0 at the first step, so that
    nothing older than the window shows), in units of the RMS change. Target: the change from the last value seen to the
    next one, in the same units. So persistence ("no change") is the output 0 with a mean squared error near 1, whatever
    the column's unit and drift.

    The split is chronological by the row forecast: the first 70% of windows train, 15% validate, the last 15% test; all
    units come from the training part's rows, none of which lies after any row forecast in validation or test.

    ``season``: the column's period in rows, at most T; ``baselines`` then has the seasonal naive forecast too, the
    value one season before the next.

    Chance: persistence on the test part. The score is the fraction of forecasts within ``tolerance``, the median of the
    training part's changes that are not zero: close enough that persistence is right about half of the time
    (``chance_score`` says how often on the test part) and a perfect forecast always.
    Raises RnnbenchError for whatever ``read_column`` does not take, for too few rows, and for a training part that
    never changes.
    """

    kind = "regression"
    readout = "last"
    default_length = 10
    longer_is_harder = False
    input_size = 2
    output_size = 1
    chance_of = "loss"
    solved_at = 0.95

    def __init__(
        self,
        length: int | None = None,
        *,
        argument: str = "",
        window: int | None = None,
        season: int | None = None,
    ):
        self.argument = argument
        path, _, column = argument.rpartition(":")
        if not path or not column:
            raise RnnbenchError(
                f"task 'forecast' needs a CSV file and a column, as in forecast:prices.csv:close, got {self.name!r}"
            )
        if window is not None:
            window = positive("window", window)
            if length not in (None, window):
                raise RnnbenchError(f"window and length of a forecast are one thing, got {window} and {length}")
        super().__init__(length if window is None else window)
        self.season = None if season is None else positive("season", season)
        if self.season is not None and self.season > self.length:
            raise RnnbenchError(f"the season of a forecast must lie within its window of {self.length}, got {season}")

        values = read_column(path, column)
        windows = len(values) - self.length
        if windows < MINIMUM_WINDOWS:
            raise RnnbenchError(
                f"{path}, column {column!r}: {len(values)} rows are too few for a window of {self.length}, "
                f"at least {self.length + MINIMUM_WINDOWS} are needed"
            )
        train, validation = windows * TRAIN_PERCENT // 100, windows * (TRAIN_PERCENT + VALIDATION_PERCENT) // 100
        self._bounds = {"train": (0, train), "validation": (train, validation), "test": (validation, windows)}
        self._fingerprint = hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()

        with np.errstate(over="ignore", invalid="ignore"):
            changes = np.diff(values)
            known = values[: self.length + train]
            known_changes = changes[: len(known) - 1]
            unit = np.sqrt(np.mean(known_changes**2))
            spread = np.std(known)
        if not np.isfinite([unit, spread]).all() or not np.isfinite(changes).all():
            raise RnnbenchError(f"{path}, column {column!r}: values are too large, their squares overflow")
        if unit == 0:
            raise RnnbenchError(
                f"{path}, column {column!r}: the value never changes in the first {len(known)} rows, the training part"
            )
        self._levels = ((values - known.mean()) / spread).astype(np.float32)
        self._changes = (changes / unit).astype(np.float32)
        moves = np.abs(self._changes[: len(known_changes)])
        self.tolerance = float(np.median(moves[moves > 0]))
        persistence = np.abs(self._targets(np.arange(validation, windows)).astype(np.float64))
        self.chance_loss = float(np.mean(persistence**2))
        self.chance_score = float(np.mean(persistence <= self.tolerance))

    @property
    def name(self) -> str:
        """The name with its argument, as ``get_task`` takes it."""
        return f"forecast:{self.argument}" if self.argument else "forecast"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the column's numbers: trials on an edited file are other trials."""
        return self._fingerprint

    def _predictors(self) -> dict[str, Predictor]:
        found: dict[str, Predictor] = {"persistence": lambda batch: np.zeros_like(batch.target)}
        if self.season is not None:
            # From the last value seen to the one a season before the next: against the changes in between.
            since = self.length + 1 - self.season
            found["seasonal"] = lambda batch: -batch.x[since:, :, 1].sum(axis=0)[:, None]
        return found

    def _evaluation_size(self, split: Split) -> int:
        start, end = self._bounds[split]
        return end - start

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        start, end = self._bounds[split]
        if first is None:
            chosen = rng.integers(start, end, size=size)
        else:
            chosen = np.arange(start + first, start + first + size)
        rows = chosen + np.arange(self.length)[:, None]
        x = np.zeros((self.length, size, 2), np.float32)
        x[..., 0] = self._levels[rows]
        # changes[r] leads from row r to row r + 1: the change into row r is changes[r - 1].
        x[1:, :, 1] = self._changes[rows[:-1]]
        return Batch(x, self._targets(chosen))

    def _targets(self, windows: np.ndarray) -> np.ndarray:
        """Return the changes that follow windows, float32 [B, 1]: window w ends at row w + T - 1."""
        return self._changes[windows + self.length - 1][:, None]


TASK = Forecast
