"""Carrying out a plan: time, memory, compile time, trials; every record is stored the moment it exists."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rnnbench.cli.board import Board
from rnnbench.cli.plan import Plan, Timing, counted
from rnnbench.cli.presets import Preset
from rnnbench.cli.progress import Stage, View
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.trials import Event, Store


@dataclass(frozen=True)
class Pace:
    """Where trials run, and until when a run may last.

    ``processes``: on this machine (None: one for each core; 0: in this process). ``scheduler``: of a cluster.
    ``speed_until``, ``until``: of ``time.monotonic``; by the first all but the trials ends, by the second all.
    """

    processes: int | None = None
    scheduler: str | None = None
    speed_until: float | None = None
    until: float | None = None


@dataclass
class Outcome:
    """A sentence for each thing that failed, and for each that was left out because the time was up."""

    failures: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def carry_out(
    plan: Plan,
    store: "Store",
    console: "Console",
    pace: Pace = Pace(),
    expected: Mapping[str, float] | None = None,
) -> Outcome:
    """Measure what ``plan`` asks for and ``store`` does not hold yet.

    ``expected``: stage -> seconds, for the time left. What fails, one measurement or a whole stage, is told and the
    rest goes on; only a store that cannot be written to ends the run. Stops at Ctrl-C with KeyboardInterrupt; what was
    measured by then is in ``store``.
    """
    from rnnbench.trials.store import NotStored

    outcome = Outcome()
    later = sum((expected or {}).get(name, 0.0) for name in ("memory", "compile"))
    timing = pace if pace.speed_until is None else replace(pace, speed_until=pace.speed_until - later)
    stages: dict[str, tuple[int, Callable[[Stage], None]]] = {
        "time": (len(plan.timings), partial(_time, plan, store, timing, outcome)),
        "memory": (len(plan.memory), partial(_memory, plan, store, pace, outcome)),
        "compile": (len(plan.compiled), partial(_compile, plan, store, pace, outcome)),
        "trials": (len(plan.trials), partial(_train, plan, store, pace, outcome)),
    }
    board = Board(plan.cells, plan.trials, timed=bool(plan.timings))
    for record in store.records():
        board.add(record)
    totals = {name: total for name, (total, _) in stages.items() if total}
    with View(console, totals, expected, board, pace.until).drawn() as view:
        for name in totals:
            try:
                with view.stage(name) as progress:
                    stages[name][1](progress)
            except NotStored:
                raise
            except RnnbenchError as error:
                outcome.failures.append(f"{name}: {error}")
                view.note(outcome.failures[-1])
    return outcome


def _time(plan: Plan, store: "Store", pace: Pace, outcome: Outcome, progress: Stage) -> None:
    from rnnbench.measure import Contest, available_cores

    threads = available_cores()
    missing = [timing for timing in plan.timings if not is_stored(timing, plan.preset, store)]
    progress.skip(len(plan.timings) - len(missing))
    for contenders, timings in groupby(_while_time(missing, pace, outcome, "timing"), lambda one: one.contenders):
        excluded = _Exclusions(progress, outcome.failures)
        with Contest(contenders, threads, _teller(progress), excluded) as contest:
            for timing in timings:
                excluded.timing = timing
                with _named(f"not timed: {timing.cell} at {shape(timing.sizes)}", progress, outcome.failures):
                    records = contest.time(
                        timing.cell,
                        timing.sizes,
                        timing.mode,
                        samples=plan.preset.samples,
                        max_seconds=plan.preset.max_seconds,
                    )
                    for record in records:
                        store.add(record)
                        progress.found(record)
                progress.step()


def is_stored(timing: Timing, preset: Preset, store: "Store") -> bool:
    """Return whether ``store`` has all of a timing: contenders are only comparable when they were sampled together."""
    from rnnbench.measure import available_cores
    from rnnbench.measure.time import time_key

    asked = (timing.cell, timing.sizes, timing.mode, preset.samples, available_cores(), "float32")
    return all(time_key(contender, *asked) in store for contender in timing.contenders)


class _Exclusions:
    """Hears from a contest whom it does not time, and why."""

    def __init__(self, progress: Stage, failures: list[str]):
        self._progress, self._failures = progress, failures
        self.timing: Timing | None = None

    def __call__(self, contender: str, reason: str) -> None:
        assert self.timing is not None
        sentence = f"not timed: {contender} on {self.timing.cell} at {shape(self.timing.sizes)}: {reason}"
        self._failures.append(sentence)
        self._progress.note(sentence)


def _teller(progress: Stage) -> Any:
    def tell(event: dict[str, Any]) -> None:
        doing = "checking and warming up" if event["event"] == "prepare" else "sampling"
        progress.say(f"{event['cell']} {event['mode']} at {shape(event['sizes'])}: {doing} {event['contender']}")

    return tell


def _memory(plan: Plan, store: "Store", pace: Pace, outcome: Outcome, progress: Stage) -> None:
    from rnnbench.measure import memory_use

    contender = f"rnnbench.{plan.engine}"
    work = []
    for cell, sizes in plan.memory:
        asked = {"contender": contender, "cell": cell, **dict(zip("TBIH", sizes, strict=True)), "training": True}
        work.append((f"{cell} at {shape(sizes)}", asked, partial(memory_use, cell, sizes, contender=contender)))
    measure_missing("memory", work, store, progress, outcome, pace)


def _compile(plan: Plan, store: "Store", pace: Pace, outcome: Outcome, progress: Stage) -> None:
    from rnnbench.measure import compile_times

    contender = f"rnnbench.{plan.engine}"
    work = [
        (cell, {"contender": contender, "cell": cell}, partial(compile_times, cell, contender=contender))
        for cell in plan.compiled
    ]
    measure_missing("compile time", work, store, progress, outcome, pace)


def measure_missing(
    what: str,
    work: Sequence[tuple[str, Mapping[str, Any], Callable[[], dict[str, Any]]]],
    store: "Store",
    progress: Stage,
    outcome: Outcome,
    pace: Pace = Pace(),
) -> None:
    """Make each record that the store does not hold; ``work``: what to call it, its fields, its maker.

    The records are of the stage's kind, and of this machine.
    """
    from rnnbench.measure import machine_facts

    here = machine_facts()
    there = [record for record in store.records(progress.name) if record["where"] == here]
    missing = [item for item in work if not any(item[1].items() <= record.items() for record in there)]
    progress.skip(len(work) - len(missing))
    for name, _, measure in _while_time(missing, pace, outcome, f"{what} measurement"):
        progress.say(name)
        with _named(f"no {what} of {name}", progress, outcome.failures):
            store.add(measure())
        progress.step()


def _train(plan: Plan, store: "Store", pace: Pace, outcome: Outcome, progress: Stage) -> None:
    from rnnbench.measure import machine_facts
    from rnnbench.trials import run_all

    stored = store.keys()
    progress.skip(sum(trial.key in stored for trial in plan.trials))
    hear = trial_listener(progress, outcome.failures)
    summary = run_all(plan.trials, store, pace.processes, pace.scheduler, hear, machine_facts, pace.until)
    if summary.left:
        outcome.left.append(counted(len(summary.left), "trial"))


def trial_listener(progress: Stage, failures: list[str]) -> "Callable[[Event], None]":
    """Return an ``on_event`` for ``run_all`` that shows in ``progress`` what runs, what is done, and what failed."""
    running: dict[str, str] = {}

    def hear(event: "Event") -> None:
        key = event.trial.key
        if event.kind in ("started", "progress"):
            loss = "" if event.loss is None else f", loss {event.loss:.3g}"
            running[key] = f"{event.trial}: step {event.step}/{event.trial.steps}{loss}"
        else:
            running.pop(key, None)
        if event.kind == "failed":
            failures.append(f"trial {event.trial} failed: {event.message}")
            progress.note(failures[-1])
        elif event.kind == "lost":
            progress.note(f"trial {event.trial}: {event.message}; it is run once more")
        elif event.kind == "finished" and event.record is not None:
            progress.found(event.record)
            progress.done += 1
        progress.say(tuple(running.values()), event.seconds_left)

    return hear


def _while_time(items: Sequence[Any], pace: Pace, outcome: Outcome, what: str) -> Iterator[Any]:
    """Yield items until the time for all but trials is up; the others are left out."""
    for number, item in enumerate(items):
        if pace.speed_until is not None and time.monotonic() >= pace.speed_until:
            outcome.left.append(counted(len(items) - number, what))
            return
        yield item


@contextmanager
def _named(what: str, progress: Stage, failures: list[str]) -> Iterator[None]:
    """Tell one measurement's failure, and let the others go on; a record that cannot be written ends them all."""
    from rnnbench.trials.store import NotStored

    try:
        yield
    except NotStored:
        raise
    except RnnbenchError as error:
        failures.append(f"{what}: {error}")
        progress.note(failures[-1])


def shape(sizes: tuple[int, ...]) -> str:
    """Return sizes in the legend's letters: "T=100 B=32 I=128 H=128"."""
    return " ".join(f"{letter}={size}" for letter, size in zip("TBIH", sizes, strict=True))
