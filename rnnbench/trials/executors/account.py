"""What one run of many trials has to do, what is under way, and what has come of it, whoever does the work."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from rnnbench.trials.store import Store
from rnnbench.trials.trial import Trial

ATTEMPTS = 2
"""How often a trial is tried whose process or worker dies: once may be an accident, twice is the trial's doing."""
PROGRESS_SECONDS = 0.2
"""Between two reports on one trial: often enough for a bar, too rare to cost anything."""

Kind = Literal["started", "progress", "finished", "lost", "failed"]


@dataclass(frozen=True)
class Event:
    """Something happened to one trial.

    ``kind``: "started"; "progress", with ``step`` and training ``loss``; "finished", with the stored ``record``;
    "lost", with ``message`` (its process or worker died; it is run once more); "failed", with ``message`` (it is not
    stored, so the next run tries it again). ``done`` of ``total`` trials are stored so far. ``seconds_left``: for all
    of them, None before the first step.
    """

    kind: Kind
    trial: Trial
    done: int
    total: int
    seconds_left: float | None = None
    step: int = 0
    loss: float | None = None
    record: dict[str, Any] | None = None
    message: str = ""


@dataclass(frozen=True)
class Summary:
    """What came of ``total`` trials: ``finished`` now, ``resumed`` from the store, ``failed``, or ``left``.

    ``failed`` holds each trial with a sentence; ``left`` is not empty only where a deadline has passed.
    """

    total: int
    finished: int
    resumed: int
    failed: list[tuple[Trial, str]]
    left: list[Trial]


class Interrupted(KeyboardInterrupt):
    """Raised by ``run_all`` after Ctrl-C, with how many trials are stored: ``done`` of ``total``."""

    def __init__(self, done: int, total: int):
        super().__init__(f"stopped: {done} of {total} trials are stored; the same command resumes with the others")
        self.done, self.total = done, total


class TimeIsUp(Exception):
    """Raised by an account once its deadline has passed."""


class Account:
    """The trials of one run: waiting, running, stored, failed.

    Who does the work takes trials by ``next`` and says what becomes of each; the account stores records and tells
    ``on_event``. It is used from the thread that called ``run_all`` alone.
    """

    def __init__(
        self,
        trials: Iterable[Trial],
        store: Store,
        on_event: Callable[[Event], None] | None = None,
        deadline: float | None = None,
    ):
        by_key = {trial.key: trial for trial in trials}
        stored = store.keys()
        self.waiting = deque(trial for key, trial in by_key.items() if key not in stored)
        self.running: dict[str, Trial] = {}
        self.failed: list[tuple[Trial, str]] = []
        self.finished = 0
        self.total = len(by_key)
        self._to_do = len(self.waiting)
        self._store, self._on_event, self._deadline = store, on_event, deadline
        self._steps: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._begun = time.monotonic()

    @property
    def done(self) -> int:
        """Trials in the store, from now or from before."""
        return self.total - self._to_do + self.finished

    def seconds(self) -> float | None:
        """Return how long work may go on, None without a deadline; raise TimeIsUp when it has passed."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeIsUp
        return left

    def next(self) -> Trial:
        """Take the next trial, which now is running."""
        trial = self.waiting.popleft()
        self.running[trial.key] = trial
        self._tell("started", trial)
        return trial

    def progress(self, trial: Trial, step: int, loss: float) -> None:
        """Hear that ``trial`` has taken ``step`` steps."""
        self._steps[trial.key] = step
        self._tell("progress", trial, step=step, loss=loss)

    def finish(self, trial: Trial, record: dict[str, Any]) -> None:
        """Store the record of ``trial``."""
        self._end(trial)
        self._store.add(record)
        self.finished += 1
        self._tell("finished", trial, record=record)

    def fail(self, trial: Trial, message: str) -> None:
        """Give up ``trial``."""
        self._end(trial)
        self.failed.append((trial, message))
        self._tell("failed", trial, message=message)

    def lose(self, trial: Trial, message: str) -> None:
        """Put ``trial`` behind the others after its process or worker died; give it up if that happened before."""
        self._deaths[trial.key] = self._deaths.get(trial.key, 0) + 1
        if self._deaths[trial.key] == ATTEMPTS:
            self.fail(trial, f"{message}, {ATTEMPTS} times")
            return
        self._end(trial)
        self.waiting.append(trial)
        self._tell("lost", trial, message=message)

    def restart(self, trial: Trial, message: str) -> None:
        """Hear that ``trial`` begins anew elsewhere after its worker died."""
        self._steps.pop(trial.key, None)
        self._tell("lost", trial, message=message)

    def summary(self) -> Summary:
        """Return what came of the trials."""
        left = [*self.running.values(), *self.waiting]
        return Summary(self.total, self.finished, self.total - self._to_do, self.failed, left)

    def _end(self, trial: Trial) -> None:
        self.running.pop(trial.key, None)
        self._steps.pop(trial.key, None)

    def _tell(self, kind: Kind, trial: Trial, **more: Any) -> None:
        if self._on_event is not None:
            self._on_event(Event(kind, trial, self.done, self.total, self._seconds_left(), **more))

    def _seconds_left(self) -> float | None:
        """Estimate from the share of all budgets that is used up; a trial solved early counts as a whole one."""
        running = sum(step / self.running[key].steps for key, step in self._steps.items() if key in self.running)
        share = (self.finished + len(self.failed) + running) / self._to_do
        return (time.monotonic() - self._begun) * (1 - share) / share if share else None


def now_and_then(report: Callable[[int, float], None]) -> Callable[[int, float], None]:
    """Return a function that passes (step, loss) on to ``report`` at most every PROGRESS_SECONDS."""
    last = time.monotonic()

    def reported(step: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            report(step, loss)

    return reported
