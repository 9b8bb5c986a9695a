"""Train one model on one task and score it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from rnnbench.nn.bidirectional import Bidirectional
from rnnbench.nn.layer import Layer
from rnnbench.nn.model import Model
from rnnbench.nn.optimizers import SGD, Adam, clip_by_norm, global_norm
from rnnbench.nn.stack import NotFinite, Stack
from rnnbench.tasks.task import Batch, Task
from rnnbench.trials.result import Result, now
from rnnbench.trials.trial import Trial

CURVE_POINTS = 10_000
"""A curve has every step up to so many; a longer budget is recorded at every second step, every third, and so on."""

_OPTIMIZERS = {"adam": Adam, "sgd": SGD}

Progress = Callable[[int, float], None]


def run_trial(trial: Trial, progress: Progress | None = None) -> Result:
    """Train ``trial``'s model until its task is solved on the validation split or the budget ends; score it on test.

    ``progress``: called after every step with (step, training loss). Every trial runs on one thread, so that the
    outcome does not depend on the machine's cores. A loss or gradient that is not finite ends the trial: it is an
    outcome (``Result.diverged``) and no error. Raises RnnbenchError when the engine is not available.
    """
    task = trial.get_task()
    model = build_model(trial, task)
    validation = task.evaluation(split="validation")
    with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
        model.backward(model.forward(validation[0].x, training=True))  # compiles, before the clock starts
        training = _Training(trial, task, model, validation)
        training.run(progress)
        loss, score = evaluate(model, task.evaluation())
    return Result(
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
    )


def build_model(trial: Trial, task: Task) -> Model:
    """Return the untrained model of ``trial``; every layer and direction has weights of its own, from the seed."""
    place = 0

    def layer(input_size: int) -> Layer:
        nonlocal place
        place += 1
        return Layer(
            trial.cell,
            input_size=input_size,
            hidden_size=trial.hidden,
            engine=trial.engine,
            dtype=trial.dtype,
            seed=_weight_seed(trial.seed, place),
            init=trial.init,
            threads=1,
            checkpoint=None,
            structures=None,
            **trial.hyper,
        )

    layers = []
    size = task.input_size
    for _ in range(trial.layers):
        layers.append(Bidirectional(layer(size), layer(size)) if trial.bidirectional else layer(size))
        size = layers[-1].output_size
    return Model(task, Stack(layers), seed=_weight_seed(trial.seed, 0))


def data_stream(trial: Trial) -> np.random.Generator:
    """Return the generator of the training data; it depends on task, length, task options and seed, not on the cell."""
    text = json.dumps([trial.task, trial.length, trial.task_options, trial.seed], sort_keys=True)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def evaluate(model: Model, batches: Sequence[Batch]) -> tuple[float, float]:
    """Return the mean (loss, score) over ``batches``, each weighted by its number of sequences.

    A loss that is not finite is NaN; a model whose values overflow on the way has score 0.
    """
    try:
        measured = [model.evaluate(batch) for batch in batches]
    except NotFinite:
        return math.nan, 0.0
    loss, score = np.average(measured, axis=0, weights=[batch.size for batch in batches])
    return float(loss) if math.isfinite(loss) else math.nan, float(score)


def _weight_seed(seed: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0])


class _Training:
    """The training loop and what it notes down."""

    def __init__(self, trial: Trial, task: Task, model: Model, validation: Sequence[Batch]):
        self.trial, self.task, self.model, self.validation = trial, task, model, validation
        self.optimizer = _OPTIMIZERS[trial.optimizer](model.params, trial.learning_rate)
        self.data = data_stream(trial)
        self.stride = math.ceil(trial.steps / CURVE_POINTS)
        self.steps = self.clipped = 0
        self.seconds = 0.0
        self.diverged = False
        self.steps_to_solve: int | None = None
        self.curve: list[tuple[int, float]] = []
        self.validation_curve: list[tuple[int, float, float]] = []

    def run(self, progress: Progress | None) -> None:
        """Take steps until the task is solved, the training diverges or the budget ends."""
        started = time.perf_counter()
        while self.steps < self.trial.steps and not self.diverged and self.steps_to_solve is None:
            loss = self._step()
            if self.steps % self.trial.evaluate_every == 0 or self.steps == self.trial.steps:
                self._validate()
            if progress is not None:
                progress(self.steps, loss)
        self.seconds = time.perf_counter() - started

    def _step(self) -> float:
        batch = self.task.sample(self.data, self.trial.batch, split="train")
        self.steps += 1
        try:
            loss, grads = self.model.loss_and_grads(batch)
        except NotFinite:
            self.diverged = True
            self.curve.append((self.steps, math.nan))
            return math.nan
        if self.steps % self.stride == 0:
            self.curve.append((self.steps, _six_digits(loss)))
        limit = self.trial.clip
        norm = global_norm(grads.values()) if limit is None else clip_by_norm(grads, limit)
        if math.isfinite(norm):
            self.clipped += limit is not None and norm > limit
            self.optimizer.step(grads)
        else:
            self.diverged = True
        return loss

    def _validate(self) -> None:
        if self.diverged:
            return
        loss, score = evaluate(self.model, self.validation)
        self.validation_curve.append((self.steps, _six_digits(loss), _six_digits(score)))
        if not math.isfinite(loss):
            self.diverged = True
        elif score >= self.task.solved_at:
            self.steps_to_solve = self.steps


def _six_digits(value: float) -> float:
    """Round to six significant digits: a curve's batch means carry no more, and its text halves."""
    return float(f"{value:.6g}")
