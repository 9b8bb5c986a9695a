"""Carrying out a plan: time, memory, compile time, trials; every record is stored the moment it exists."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rnnbench.cli.plan import Plan, Timing
from rnnbench.cli.progress import Stage, stage
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.trials import Event, Store


def carry_out(plan: Plan, store: "Store", console: "Console", processes: int | None = None) -> list[str]:
    """Measure what ``plan`` asks for and ``store`` does not hold yet, and return a sentence for each thing that failed.

    ``processes``: for the trials (None: one for each core). Stops at Ctrl-C with KeyboardInterrupt; what was measured
    by then is in ``store``.
    """
    failures: list[str] = []
    _time(plan, store, console, failures)
    _memory(plan, store, console, failures)
    _compile(plan, store, console, failures)
    _train(plan, store, console, processes, failures)
    return failures


def _time(plan: Plan, store: "Store", console: "Console", failures: list[str]) -> None:
    from rnnbench.measure import Contest, available_cores
    from rnnbench.measure.time import time_key

    threads = available_cores()
    missing = []
    for timing in plan.timings:
        keys = [
            time_key(name, timing.cell, timing.sizes, timing.mode, plan.preset.samples, threads, "float32")
            for name in timing.contenders
        ]
        # Contenders are only comparable when sampled together: one that is missing brings the others back.
        if not all(key in store for key in keys):
            missing.append(timing)
    with stage(console, "time", len(plan.timings)) as progress:
        progress.skip(len(plan.timings) - len(missing))
        for contenders, timings in groupby(missing, key=lambda timing: timing.contenders):
            excluded = _Exclusions(progress, failures)
            with Contest(contenders, threads, _teller(progress), excluded) as contest:
                for timing in timings:
                    excluded.timing = timing
                    records = contest.time(
                        timing.cell,
                        timing.sizes,
                        timing.mode,
                        samples=plan.preset.samples,
                        max_seconds=plan.preset.max_seconds,
                    )
                    for record in records:
                        store.add(record)
                    progress.step()


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


def _memory(plan: Plan, store: "Store", console: "Console", failures: list[str]) -> None:
    from rnnbench.measure import memory_use

    contender = f"rnnbench.{plan.engine}"
    work = []
    for cell, sizes in plan.memory:
        asked = {"contender": contender, "cell": cell, **dict(zip("TBIH", sizes, strict=True)), "training": True}
        work.append((f"{cell} at {shape(sizes)}", asked, partial(memory_use, cell, sizes, contender=contender)))
    measure_missing("memory", work, store, console, failures)


def _compile(plan: Plan, store: "Store", console: "Console", failures: list[str]) -> None:
    from rnnbench.measure import compile_times

    contender = f"rnnbench.{plan.engine}"
    work = [
        (cell, {"contender": contender, "cell": cell}, partial(compile_times, cell, contender=contender))
        for cell in plan.cells[: plan.preset.compiled]
    ]
    measure_missing("compile", work, store, console, failures)


def measure_missing(
    kind: str,
    work: Sequence[tuple[str, Mapping[str, Any], Callable[[], dict[str, Any]]]],
    store: "Store",
    console: "Console",
    failures: list[str],
) -> None:
    """Make each record of ``kind`` that the store does not hold; ``work``: what to call it, its fields, its maker."""
    from rnnbench.measure import machine_facts

    here = machine_facts()
    there = [record for record in store.records(kind) if record["where"] == here]
    missing = [item for item in work if not any(item[1].items() <= record.items() for record in there)]
    with stage(console, kind, len(work)) as progress:
        progress.skip(len(work) - len(missing))
        for name, _, measure in missing:
            progress.say(name)
            try:
                store.add(measure())
            except RnnbenchError as error:
                failures.append(f"no {kind} of {name}: {error}")
                progress.note(failures[-1])
            progress.step()


def _train(plan: Plan, store: "Store", console: "Console", processes: int | None, failures: list[str]) -> None:
    from rnnbench.measure import machine_facts
    from rnnbench.trials import run_all

    with stage(console, "trials", len(plan.trials)) as progress:
        stored = store.keys("trial")
        progress.skip(sum(trial.key in stored for trial in plan.trials))

        def hear(event: "Event") -> None:
            if event.kind == "failed":
                failures.append(f"trial {event.trial} failed: {event.message}")
                progress.note(failures[-1])
            elif event.kind == "finished":
                progress.step()
            progress.say(str(event.trial), event.seconds_left)

        run_all(plan.trials, store, processes, hear, machine_facts())


def shape(sizes: tuple[int, ...]) -> str:
    """Return sizes in the legend's letters: "T=100 B=32 I=128 H=128"."""
    return " ".join(f"{letter}={size}" for letter, size in zip("TBIH", sizes, strict=True))
