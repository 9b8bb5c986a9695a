"""What trials will cost on this machine: a few timed training steps of each distinct shape."""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rnnbench.trials.cores import available_cpus
from rnnbench.trials.run import begin, on_one_thread
from rnnbench.trials.training import evaluate
from rnnbench.trials.trial import Trial

STEPS = (3, 20)
"""Timed steps of a shape, at least and at most; in between, as many as last ``STEPS_SECONDS``."""
STEPS_SECONDS = 0.2
# What decides how long training lasts, or what comes out, but not how long one step takes.
_NOT_SHAPE = {
    "seed", "steps", "learning_rate", "clip", "clip_value", "momentum", "weight_decay", "schedule", "warmup",
    "evaluate_every", "patience", "purpose",
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Seconds that a shape of trial takes on one thread, once its kernels are compiled.

    ``start``: making the data, the model and its first call. ``step``: one training step. ``evaluation``: the whole
    validation or test set once.
    """

    start: float
    step: float
    evaluation: float

    def of(self, steps: int, evaluate_every: int) -> float:
        """Return the seconds of a trial that uses up its budget: ``steps``, their validations, and the test."""
        validations = math.ceil(steps / evaluate_every)
        return self.start + steps * self.step + (validations + 1) * self.evaluation


_measured: dict[str, Cost] = {}


def shape_of(trial: Trial) -> str:
    """Return a text that trials have in common whose steps cost the same: all fields but seed, rates and budget."""
    return json.dumps(trial.model_dump(exclude=_NOT_SHAPE), sort_keys=True)


def cost_of(trial: Trial) -> Cost:
    """Return the cost of a trial's shape, measured the first time that this process asks for it.

    Takes a fraction of a second, and some seconds for a cell whose kernels are not in the cache yet. Raises
    RnnbenchError where the trial itself would.
    """
    shape = shape_of(trial)
    if shape not in _measured:
        _measured[shape] = _measure(trial)
    return _measured[shape]


def seconds_per_step(trial: Trial) -> float:
    """Return the seconds of one training step of ``trial`` with its share of the validations."""
    cost = cost_of(trial)
    return cost.step + cost.evaluation / min(trial.evaluate_every, trial.steps)


def seconds_of(trial: Trial) -> float:
    """Return the seconds that ``trial`` takes on one thread if it uses up its budget; once solved, it ends earlier."""
    return cost_of(trial).of(trial.steps, trial.evaluate_every)


def estimate(
    trials: Iterable[Trial], processes: int | None = None, on_measure: Callable[[Trial], None] | None = None
) -> float:
    """Return the seconds that ``trials`` take at most, ``processes`` at a time (None: one for each core; 0: one).

    At most, because a trial that is solved ends before its budget. One shape is measured at a time, so processes that
    compete for memory or for a shared core are slower than this says. ``on_measure`` is called before a shape is
    measured.
    """
    seconds = []
    for trial in trials:
        if on_measure is not None and shape_of(trial) not in _measured:
            on_measure(trial)
        seconds.append(seconds_of(trial))
    at_a_time = max(1, available_cpus() if processes is None else processes)
    return max(sum(seconds) / at_a_time, max(seconds, default=0.0))


def _measure(trial: Trial) -> Cost:
    with on_one_thread():
        begin(trial)  # compiles, or loads the kernels
        begun = time.perf_counter()
        training = begin(trial)
        start = time.perf_counter() - begun
        fewest, most = STEPS
        steps: list[float] = []
        while len(steps) < fewest or (len(steps) < most and sum(steps) < STEPS_SECONDS):
            begun = time.perf_counter()
            training.step()
            steps.append(time.perf_counter() - begun)
        first = training.validation[0]
        evaluate(training.model, [first])  # memory of its size is taken in the first call
        begun = time.perf_counter()
        evaluate(training.model, [first])
        whole = sum(batch.size for batch in training.validation) / first.size
        return Cost(start, statistics.median(steps), whole * (time.perf_counter() - begun))
