"""A trial: everything that decides how a model is trained and what comes out."""

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rnnbench.cells import cells, get_cell
from rnnbench.engines import get_engine
from rnnbench.errors import RnnbenchError, unknown
from rnnbench.tasks import get_task
from rnnbench.tasks.task import Task
from rnnbench.trials.controls import CONTROLS, REVISION, hyper_of
from rnnbench.trials.store import SCHEMA

WEIGHT_DECAY = 0.01
"""Of optimizer "adamw" where a trial does not say another."""
_LATER = (
    "clip_value", "momentum", "weight_decay", "schedule", "warmup", "truncate", "embedding", "dropout", "residual",
    "pooling", "patience", "purpose",
)  # fmt: skip


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

    ``cell``, ``task``: registered names; a task may carry arguments ("forecast:prices.csv:close"). In the place of a
    cell stands a control too (``rnnbench.trials.controls``: "mlp_window", ...).
    ``length``: T of the task, in time steps (None: the task's default). ``hidden``: H of each layer and direction.
    ``layers``: how many on top of one another. ``engine``, ``dtype``: of the layers.
    ``seed``: of the weights and of the data; equal seeds give every cell the same data. ``batch``: B in training.
    ``steps``: the budget, in optimiser steps; training ends earlier once the task is solved.
    ``learning_rate``: 0.003 lies between 0.001, at which gated cells need more than the default budget for adding at
    T=50, and 0.005, from which on tanh cells learn less; it is a start and not a tuned value.
    ``clip``: limit of the gradients' global norm (None: off). ``clip_value``: limit of every number in them, before
    that of the norm (None: off).
    ``optimizer``: "adam", "adamw", "rmsprop" or "sgd". ``momentum``: of the last two. ``weight_decay``: of "adamw"
    (None: 0.01). ``schedule``: of the learning rate, "constant" or "cosine" down to 0 at the end of the budget, after
    ``warmup`` steps in which it rises linearly.
    ``truncate``: gradients reach back over at most so many steps, while states are carried on (None: all the way).
    ``init``: passed on to Layer (None: the cell's own). ``hyper``: the cell's hyper-parameters.
    ``embedding``: size of a trained vector for each input symbol (None: the symbols themselves, one-hot).
    ``dropout``: probability with which an output of a layer is dropped in training, on its way to the next layer or the
    readout. ``residual``: add to a layer's output its input, wherever both have one size. ``pooling``: what the readout
    sees of a whole sequence, the "last" output, the "mean", or attention over all, "additive" or "dot".
    ``evaluate_every``: steps between validations. ``patience``: training ends once so many validations in a row are
    solved; a budget that ends before leaves the task unsolved. ``task_options``: passed on to the task.
    ``purpose``: what the result is for, "report", or a step of a "search" for a learning rate or of one for a
    "horizon", whose records have kinds of their own and so enter no table of results.

    Raises RnnbenchError for an unknown field, cell, task or engine, for an engine that cannot run here, for a value out
    of range, and for fields that do not go together.
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
    clip_value: float | None = Field(default=None, gt=0)
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float | None = Field(default=None, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(default=0, ge=0)
    truncate: int | None = Field(default=None, ge=1)
    init: dict[str, Any] | None = None
    hyper: dict[str, int | float] = {}
    embedding: int | None = Field(default=None, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    residual: bool = False
    pooling: Literal["last", "mean", "additive", "dot"] = "last"
    evaluate_every: int = Field(default=100, ge=1)
    patience: int = Field(default=1, ge=1)
    purpose: Literal["report", "search", "horizon"] = "report"
    task_options: dict[str, Any] = {}

    if not TYPE_CHECKING:  # type checkers then see pydantic's signature, with the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise sentence(error, "trial", tuple(Trial.model_fields)) from None
            self._check_cell()
            get_engine(self.engine)
            task = self.get_task()
            self._check_fields(task)
            # Two trials that differ only in spelling out a default are one trial.
            object.__setattr__(self, "length", task.length)
            if self.optimizer == "adamw" and self.weight_decay is None:
                object.__setattr__(self, "weight_decay", WEIGHT_DECAY)
            try:
                json.dumps(self.model_dump(), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RnnbenchError(f"init and task_options of a trial must be plain JSON values: {error}") from None

    def get_task(self) -> Task:
        """Return a new instance of the trial's task."""
        return get_task(self.task, length=self.length, **self.task_options)

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that decides the result: the fields, the cell's equations, a data file's content, schema.

        A field that came later counts only where it is not at its default: what was run before keeps its key.
        """
        fields = self.model_dump()
        for name in _LATER:
            if fields[name] == Trial.model_fields[name].default:
                del fields[name]
        content = {
            "schema": SCHEMA,
            "trial": fields,
            "cell": f"control {REVISION}" if self.cell in CONTROLS else get_cell(self.cell).digest,
            "task": self.get_task().fingerprint,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.cell} on {self.task} (T={self.length}, H={self.hidden}, seed {self.seed})"

    def _check_cell(self) -> None:
        if self.cell in CONTROLS:
            hyper_of(self.cell, self.hyper)
            return
        if ".py:" not in self.cell and self.cell not in cells():
            raise unknown("cell", self.cell, [*cells(), *CONTROLS])
        get_cell(self.cell).trace(**self.hyper)

    def _check_fields(self, task: Task) -> None:
        """Raise RnnbenchError for fields that do not go together: nothing that was asked for is left out silently."""
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise RnnbenchError(f"momentum is for optimizer 'sgd' or 'rmsprop', got optimizer {self.optimizer!r}")
        if self.weight_decay is not None and self.optimizer != "adamw":
            raise RnnbenchError(f"weight_decay is for optimizer 'adamw', got optimizer {self.optimizer!r}")
        if self.warmup >= self.steps:
            raise RnnbenchError(f"warmup must be shorter than steps={self.steps}, got {self.warmup}")
        if self.embedding is not None and not task.one_hot_input:
            raise RnnbenchError(f"embedding needs a task whose input is symbols, and that of {self.task!r} is numbers")
        if self.pooling != "last" and task.readout != "last":
            raise RnnbenchError(
                f"pooling is for tasks that are read out at the end, and {self.task!r} is at every step"
            )
        if self.truncate is not None and (self.bidirectional or self.pooling != "last"):
            other = "bidirectional" if self.bidirectional else f"pooling {self.pooling!r}"
            raise RnnbenchError(f"truncate carries states forward only, so it does not go with {other}")
        if self.cell in CONTROLS:
            for name in self._changed("bidirectional", "truncate", "init", "residual"):
                raise RnnbenchError(f"{name} is for recurrent cells, and {self.cell!r} is a control")
        if self.cell == "random_guess":
            for name in self._changed("dropout", "pooling", "embedding"):
                raise RnnbenchError(f"{name} does not go with 'random_guess', whose weights are not trained")

    def _changed(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) != Trial.model_fields[name].default]
