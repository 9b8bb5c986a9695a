"""The row that needs no training: what blind guessing loses on every task, measured and worked out."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.judge import Finding, Rule
from benchmarks.accuracy.row import Row
from rnnbench.report.quantities import number
from rnnbench.tasks import get_task, tasks
from rnnbench.tasks.task import Batch, Task
from rnnbench.trials import SCHEMA, Store

KIND = "blind_guess"
STANDARD_ERRORS = 4
NEED_FILES = ("forecast", "mnist_permuted", "mnist_pixel", "text")


@dataclass(frozen=True)
class Measured:
    """What the best blind guess loses on a task's test set, and what the task says it loses.

    ``error``: the standard error of ``loss`` over sequences.
    """

    task: str
    worked_out: float
    loss: float
    error: float

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than the test set's own chance, or by rounding where that is none."""
        return abs(self.loss - self.worked_out) <= STANDARD_ERRORS * self.error + 1e-6 * self.worked_out


class Blind:
    """The best prediction that does not look at a sequence, on the test set of every task that needs no file."""

    name = "blind_guess"
    seeds = 0

    def measure(self, store: Store) -> None:
        """Add what the store lacks."""
        for name in _names():
            if _key(name) not in store:
                found = measure(get_task(name))
                store.add({"schema": SCHEMA, "kind": KIND, "key": _key(name), **vars(found)})

    def row(self, store: Store, seeds: int | None = None) -> Row:
        """Return the row from what the store holds."""
        records = [store.get(_key(name)) for name in _names()]
        found = [Measured(**{name: one[name] for name in Measured.__annotations__}) for one in records if one]
        complete = len(found) == len(records)
        rule = Rule(
            f"on every task the two differ by at most {STANDARD_ERRORS} standard errors of the test set",
            lambda _: _judge(found),
        )
        return Row(
            name=self.name,
            claim="Blind guessing loses on each task what theory says: 1/6 in adding, 10 ln 8 / (T + 20) in copy, the "
            "logarithm of the number of equally likely classes",
            source="the papers named in docs/tasks.md",
            protocol=f"{len(records)} tasks at their default length, the whole test set, no training.",
            findings=[(rule, rule.judge({}))] if complete else [],
            headings=("task", "worked out", "measured", "standard error"),
            entries=[[one.task, number(one.worked_out, 4), number(one.loss, 4), _error(one)] for one in found],
            missing="" if complete else f"{len(found)} of {len(records)} tasks are measured",
            note=f"Tasks on files ({', '.join(NEED_FILES)}) are left out. The guess is the distribution, or the mean, "
            "of the test set's own targets, of each step where every step is asked for.",
            data=[vars(one) for one in found],
        )


def measure(task: Task) -> Measured:
    """Return what the best blind guess loses on the test set of ``task``."""
    batches = task.evaluation()
    by_step = task.readout == "every" and batches[0].mask is None
    guess = _means(task, batches, by_step) if task.kind == "regression" else _logits(task, batches, by_step)
    losses, weights = [], []
    for batch in batches:
        for one in range(batch.size):
            sequence = task._cut(batch, slice(one, one + 1))
            shape = sequence.target.shape if task.kind == "regression" else (*sequence.target.shape, task.output_size)
            output = np.broadcast_to(guess[:, None] if by_step else guess, shape)
            losses.append(task.loss(output, sequence)[0])
            weights.append(sequence.weight)
    loss = float(np.average(losses, weights=weights))
    spread = float(np.std(losses) / math.sqrt(len(losses)))
    return Measured(task.name, task.chance_loss, loss, spread)


def _judge(found: list[Measured]) -> Finding:
    wrong = [one.task for one in found if not one.agrees]
    numbers = f"{len(found) - len(wrong)} of {len(found)} tasks agree"
    return Finding(not wrong, f"{numbers}; not {', '.join(wrong)}" if wrong else numbers)


def _error(one: Measured) -> str:
    return "0" if one.error < 1e-9 else number(one.error, 2)


def _names() -> list[str]:
    return [name for name in tasks() if name not in NEED_FILES]


def _key(name: str) -> str:
    task = get_task(name)
    about: list[Any] = [KIND, SCHEMA, name, task.length, task.chance_loss]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _counted(batch: Batch, target: np.ndarray) -> np.ndarray:
    return target if batch.mask is None else target[batch.mask]


def _means(task: Task, batches: list[Batch], by_step: bool) -> np.ndarray:
    """Return the mean target, [O] or by step [T, O]."""
    if by_step:
        return np.concatenate([batch.target for batch in batches], axis=1).mean(axis=1, dtype=np.float64)
    targets = np.concatenate([_counted(batch, batch.target) for batch in batches])
    return targets.reshape(-1, task.output_size).mean(axis=0, dtype=np.float64)


def _logits(task: Task, batches: list[Batch], by_step: bool) -> np.ndarray:
    """Return the logarithm of how often each label comes, [O] or by step [T, O]."""
    if by_step:
        labels = np.concatenate([batch.target for batch in batches], axis=1)
        shares = np.stack([np.bincount(step, minlength=task.output_size) for step in labels]) / labels.shape[1]
    else:
        labels = np.concatenate([_counted(batch, batch.target) for batch in batches]).ravel()
        shares = np.bincount(labels, minlength=task.output_size) / len(labels)
    return np.log(np.maximum(shares, 1e-300))
