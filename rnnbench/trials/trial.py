"""A trial: everything that decides how a model is trained and what comes out."""

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rnnbench.cells import get_cell
from rnnbench.engines import get_engine
from rnnbench.errors import RnnbenchError, unknown
from rnnbench.tasks import get_task
from rnnbench.tasks.task import Task
from rnnbench.trials.store import SCHEMA


def sentence(error: ValidationError, subject: str, fields: tuple[str, ...]) -> RnnbenchError:
    """Return pydantic's first complaint about ``subject`` as the project's error, naming field, value and what fits."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or subject
    if first["type"] == "extra_forbidden":
        return unknown(f"{subject} field", where, fields)
    if first["type"] == "missing":
        return RnnbenchError(f"a {subject} needs {where}, which was not given")
    message = first["msg"].replace("Input should be", "must be", 1)
    return RnnbenchError(f"{where} {message[0].lower()}{message[1:]}, got {first['input']!r}")


class Trial(BaseModel):
    """One training run: a cell on a task with its sizes, engine, seed and budget.

    ``cell``, ``task``: registered names; a task may carry arguments ("forecast:prices.csv:close").
    ``length``: T of the task, in time steps (None: the task's default). ``hidden``: H of each layer and direction.
    ``layers``: how many on top of one another. ``engine``, ``dtype``: of the layers.
    ``seed``: of the weights and of the data; equal seeds give every cell the same data. ``batch``: B in training.
    ``steps``: the budget, in optimiser steps; training ends earlier once the task is solved.
    ``learning_rate``: 0.003 lies between 0.001, at which gated cells need more than the default budget for adding at
    T=50, and 0.005, from which on tanh cells learn less; it is a start and not a tuned value.
    ``clip``: limit of the gradients' global norm (None: off).
    ``optimizer``: "adam" or "sgd". ``init``: passed on to Layer (None: the cell's own). ``hyper``: the cell's
    hyper-parameters. ``evaluate_every``: steps between validations. ``task_options``: passed on to the task.

    Raises RnnbenchError for an unknown field, cell, task or engine, for an engine that cannot run here and for a value
    out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cell: str
    task: str
    length: int | None = Field(default=None, ge=1)
    hidden: int = Field(default=64, ge=1)
    layers: int = Field(default=1, ge=1)
    bidirectional: bool = False
    engine: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = Field(default=0, ge=0)
    batch: int = Field(default=32, ge=1)
    steps: int = Field(default=2000, ge=1)
    learning_rate: float = Field(default=0.003, gt=0)
    clip: float | None = Field(default=1.0, gt=0)
    optimizer: Literal["adam", "sgd"] = "adam"
    init: dict[str, Any] | None = None
    hyper: dict[str, int | float] = {}
    evaluate_every: int = Field(default=100, ge=1)
    task_options: dict[str, Any] = {}

    if not TYPE_CHECKING:  # type checkers then see pydantic's signature, with the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise sentence(error, "trial", tuple(Trial.model_fields)) from None
            get_cell(self.cell).trace(**self.hyper)
            get_engine(self.engine)
            # Two trials that differ only in spelling out the default length are one trial.
            object.__setattr__(self, "length", self.get_task().length)
            try:
                json.dumps(self.model_dump(), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RnnbenchError(f"init and task_options of a trial must be plain JSON values: {error}") from None

    def get_task(self) -> Task:
        """Return a new instance of the trial's task."""
        return get_task(self.task, length=self.length, **self.task_options)

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that decides the result: the fields, the cell's equations, a data file's content, schema."""
        content = {
            "schema": SCHEMA,
            "trial": self.model_dump(),
            "cell": get_cell(self.cell).digest,
            "task": self.get_task().fingerprint,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.cell} on {self.task} (T={self.length}, H={self.hidden}, seed {self.seed})"
