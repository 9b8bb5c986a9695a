"""Train one model on one task and score it."""

import contextlib
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from rnnbench.nn.model import Model
from rnnbench.tasks.task import Batch
from rnnbench.trials.models import build_model
from rnnbench.trials.result import Result, now
from rnnbench.trials.training import GradientDescent, Guessing, Progress, Training, evaluate
from rnnbench.trials.trial import Trial

SHOWN = 4
"""Sequences of the test set whose attention a result keeps."""


def run_trial(trial: Trial, progress: Progress | None = None) -> Result:
    """Train ``trial``'s model until its task is solved on the validation split or the budget ends; score it on test.

    ``progress``: called after every step with (step, training loss). Every trial runs on one thread, so that the
    outcome does not depend on the machine's cores. A loss or gradient that is not finite ends the trial: it is an
    outcome (``Result.diverged``) and no error. Raises RnnbenchError when the engine is not available.
    """
    return train(trial, progress)[1]


def train(trial: Trial, progress: Progress | None = None) -> tuple[Model, Result]:
    """Return the trained model of a trial with its result: see ``run_trial``."""
    with on_one_thread():
        training = begin(trial)
        task, model = training.task, training.model
        training.run(progress)
        test = task.evaluation()
        loss, score = evaluate(model, test)
        attention = _attention(model, test[0])
    result = Result(
        trial=trial,
        key=trial.key,
        score=score,
        loss=loss,
        chance=task.chance,
        chance_of=task.chance_of,
        chance_score=task.chance_score,
        solved_at=task.solved_at,
        solved=training.steps_to_solve is not None,
        steps=training.steps,
        steps_to_solve=training.steps_to_solve,
        diverged=training.diverged,
        seconds=training.seconds,
        params=model.parameter_count,
        clipped=training.clipped / training.steps,
        curve=training.curve,
        validation=training.validation_curve,
        created=now(),
        baselines=task.baselines(),
        attention=attention,
    )
    return model, result


def begin(trial: Trial) -> Training:
    """Return the training of ``trial`` before its first step, its kernels compiled: the clock has not started yet."""
    task = trial.get_task()
    model = build_model(trial, task)
    validation = task.evaluation(split="validation")
    guessed = trial.cell == "random_guess"
    output = model.forward(validation[0].x, training=not guessed)
    if not guessed:
        model.backward(output)
    return (Guessing if guessed else GradientDescent)(trial, task, model, validation)


@contextlib.contextmanager
def on_one_thread() -> Iterator[None]:
    """Let no product use more threads than one, and no overflow warn: divergence is an outcome."""
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        yield


def _attention(model: Model, batch: Batch) -> list[list[float]]:
    """Return the weight of each step in the pooling of the first sequences; nothing for the last output alone."""
    if model.pooling is None:
        return []
    weights = model.attention(batch.x[:, :SHOWN])
    return [[float(f"{weight:.4g}") for weight in sequence] for sequence in weights.T]
