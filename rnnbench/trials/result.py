"""What a trial came to, and its form as a plain record."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.store import SCHEMA
from rnnbench.trials.trial import Trial

KINDS = {"report": "trial", "search": "search_trial", "horizon": "horizon_trial"}
"""Purpose of a trial -> kind of its record: whoever asks for kind "trial" gets what is to be reported, and no more."""


@dataclass(frozen=True)
class Result:
    """Outcome of one trial.

    ``score`` and ``loss``: on the test split, the score higher is better, in [0, 1]; ``chance`` is the task's chance
    level of ``chance_of`` ("loss" or "score"), ``chance_score`` the score of the best blind guess.
    ``solved``: the validation score reached ``solved_at`` within the budget, after ``steps_to_solve`` steps (None:
    not within ``steps``, so censored there). ``steps``: steps taken. ``diverged``: a loss or gradient was not finite;
    score and loss are then those of the last weights that gave finite ones (the loss may be NaN even so).
    ``seconds``: wall-clock seconds of training and validation, without compilation. ``params``: trainable numbers.
    ``clipped``: fraction of steps at which the gradient was clipped.
    ``curve``: (step, training loss); ``validation``: (step, loss, score). ``created``: ISO 8601, UTC.
    ``baselines``: name -> (loss, score) on the test split of the task's classical predictors, none for most tasks.
    ``attention``: for a model with pooling, how much each step counts in the first four sequences of the test split.
    """

    trial: Trial
    key: str
    score: float
    loss: float
    chance: float
    chance_of: str
    chance_score: float
    solved_at: float
    solved: bool
    steps: int
    steps_to_solve: int | None
    diverged: bool
    seconds: float
    params: int
    clipped: float
    curve: list[tuple[int, float]]
    validation: list[tuple[int, float, float]]
    created: str
    baselines: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    attention: list[list[float]] = field(default_factory=list)

    def to_record(self, where: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the result as a JSON dict of its purpose's kind, where None stands for a number that is not finite.

        ``where``: facts on the machine, as ``rnnbench.measure.machine.machine_facts`` gives them.
        """
        record = {name: getattr(self, name) for name in _PLAIN}
        return record | {
            "schema": SCHEMA,
            "kind": KINDS[self.trial.purpose],
            "trial": self.trial.model_dump(),
            "clip": self.trial.clip,
            "init": self.trial.init,
            "loss": _finite(self.loss),
            "curve": [[step, _finite(loss)] for step, loss in self.curve],
            "validation": [[step, _finite(loss), score] for step, loss, score in self.validation],
            "baselines": {name: list(measured) for name, measured in self.baselines.items()},
            "attention": self.attention,
            "where": dict(where or {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Result":
        """Return the result that ``to_record`` wrote; the trial's cell, task or data file need not exist any more."""
        if record.get("kind") not in KINDS.values() or record.get("schema") != SCHEMA:
            raise RnnbenchError(
                f"a result needs a record of kind 'trial' and schema {SCHEMA}, "
                f"got kind {record.get('kind')!r} and schema {record.get('schema')!r}"
            )
        try:
            return cls(
                # Not validated again: it was when the trial ran, and names are looked up here and now.
                trial=Trial.model_construct(**record["trial"]),
                loss=_number(record["loss"]),
                curve=[(step, _number(loss)) for step, loss in record["curve"]],
                validation=[(step, _number(loss), score) for step, loss, score in record["validation"]],
                # Records from before tasks had baselines, or models pooling, say nothing of them.
                baselines={name: (loss, score) for name, (loss, score) in record.get("baselines", {}).items()},
                attention=record.get("attention", []),
                **{name: record[name] for name in _PLAIN},
            )
        except KeyError as error:
            raise RnnbenchError(f"trial record {record.get('key')} lacks {error}") from None


_LATER = ("baselines", "attention")
_PLAIN = tuple(
    name for name in Result.__dataclass_fields__ if name not in ("trial", "loss", "curve", "validation", *_LATER)
)


def now() -> str:
    """Return the time as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
