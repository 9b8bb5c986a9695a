"""Carrying out a speed plan: one record a row, stored the moment its samples are taken."""

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rnnbench.cli.progress import Stage, stage
from rnnbench.cli.speed_plan import SpeedPlan
from rnnbench.cli.stages import Outcome, measure_missing, shape

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.measure.speed import SpeedQuestion
    from rnnbench.trials import Store


def measure_limits(plan: SpeedPlan, store: "Store", console: "Console") -> list[str]:
    """Measure what this machine can do at most, unless ``store`` has it, and return a sentence if that failed."""
    from rnnbench.measure.limits import machine_limits

    outcome = Outcome()
    asked = {"threads": plan.threads, "dtype": "float32"}
    with stage(console, "limits", 1) as progress:
        measure_missing("limits", [("this machine", asked, partial(machine_limits, **asked))], store, progress, outcome)
    return outcome.failures


def measure_rows(plan: SpeedPlan, store: "Store", console: "Console") -> None:
    """Measure the rows of ``plan`` that ``store`` does not hold yet.

    Stops at Ctrl-C with KeyboardInterrupt; the rows that were finished by then are in ``store``. A contender that a
    contest leaves out is told at once and kept in the row's record.
    """
    questions = (*plan.rows, *plan.null)
    missing = [question for question in questions if question.key not in store]
    with stage(console, "speed", len(questions)) as progress:
        progress.skip(len(questions) - len(missing))
        for _, alike in groupby(missing, key=lambda question: question.contenders):
            _measure(list(alike), plan, store, progress)


def _measure(questions: "list[SpeedQuestion]", plan: SpeedPlan, store: "Store", progress: Stage) -> None:
    """Measure rows with the same contenders, whose processes live until the last of them is done."""
    from rnnbench.measure import Contest
    from rnnbench.measure.speed import speed_record

    excluded: dict[str, str] = {}

    def on_exclude(contender: str, reason: str) -> None:
        excluded[contender] = reason
        progress.note(f"not timed: {contender} for {label}: {reason}")

    def on_event(event: dict[str, Any]) -> None:
        doing = "checking and warming up" if event["event"] == "prepare" else "sampling"
        progress.say(f"{label}: {doing} {event['contender']}")

    with Contest(questions[0].contenders, questions[0].threads, on_event, on_exclude) as contest:
        for question in questions:
            label = f"{question.cell} {question.mode} at {shape(question.sizes)}"
            excluded.clear()
            absent = {} if question in plan.null else _absent(question, plan)
            store.add(speed_record(question, contest, excluded, absent))
            progress.step()


def _absent(question: "SpeedQuestion", plan: SpeedPlan) -> dict[str, str]:
    """Return the peers that do not take part in a row, each with the sentence that says why."""
    from rnnbench.measure.contender import why_not

    others = {peer: why_not(peer, question.cell, question.mode == "training") for peer in plan.peers}
    return {**plan.absent, **{peer: reason for peer, reason in others.items() if reason is not None}}
