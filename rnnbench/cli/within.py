"""Carrying out what fits a time: a quick calibration, then as many blocks of measurements as the time allows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rnnbench.cli import budget
from rnnbench.cli.expected import Expected
from rnnbench.cli.plan import Plan, make_plan
from rnnbench.cli.presets import QUICK
from rnnbench.cli.progress import clock
from rnnbench.cli.stages import Outcome, Pace, carry_out, is_stored
from rnnbench.cli.text import tell
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.trials import Store

SPEED_SHARE = 0.6
"""Of the time, after which no more speed is measured: trials are to have the rest, whatever was expected."""


@dataclass(frozen=True)
class Asked:
    """What the caller named: () and None leave it to the time that there is."""

    cells: Sequence[str] = ()
    tasks: Sequence[str] = ()
    window: int | None = None
    engine: str = "cpu"


def carry_out_within(
    text: str, begun: float, asked: Asked, store: "Store", console: "Console", pace: Pace
) -> tuple[Plan, Outcome]:
    """Measure what fits the duration ``text`` from ``begun`` (of ``time.monotonic``) on, the report included.

    Trials that are solved early leave time, and more is taken in then. What is left out is told, with how long it would
    take, and so are trials that the end of the time has cut off; the same command goes on with them. Returns all that
    was planned. Raises RnnbenchError for a duration in which not even the first measurements fit.
    """
    from rnnbench.trials.cores import available_cpus

    seconds = budget.seconds_in(text)
    at_a_time = available_cpus() if pace.processes is None else pace.processes
    expected = Expected(QUICK, at_a_time, store.keys())
    tell(console, "timing a few training steps on this machine")
    first = make_plan(QUICK, asked.cells[:3], asked.tasks[:1], engine=asked.engine)
    expected.measure({trial.cell: trial for trial in reversed(first.trials)}.values())
    preset = budget.fitting_preset(seconds, expected.block, asked.cells, asked.tasks, asked.engine)
    whole = make_plan(preset, asked.cells, asked.tasks, asked.window, asked.engine)
    expected.preset = preset
    expected.stored_timings = {timing for timing in whole.timings if is_stored(timing, preset, store)}
    expected.learn(store.records("trial"))

    until = begun + seconds - expected.report
    pace = replace(pace, speed_until=begun + SPEED_SHARE * seconds, until=until)
    blocks = tuple(budget.in_order_of_value(whole))
    chosen: list[budget.Block] = []
    outcome = Outcome()
    while True:
        found = budget.fit(blocks, until - time.monotonic(), expected.block)
        if not chosen and found.left[:1] == blocks[:1]:
            least = expected.block(blocks[0]) + expected.report + time.monotonic() - begun
            raise RnnbenchError(
                f"--budget {text} is too short here: the first measurements and the report take about {clock(least)}"
            )
        if not found.chosen or outcome.left:
            break
        part = budget.plan_with(whole, found.chosen, f"{text} {preset.name}")
        tell(console, f"{'more in the time left: ' if chosen else ''}{part}; about {clock(found.seconds)}")
        stages = expected.stages(part.timings, part.memory, part.compiled, part.trials)
        came = carry_out(part, store, console, pace, stages)
        outcome.failures += came.failures
        outcome.left += came.left
        chosen += found.chosen
        blocks = found.left
        expected.learn(store.records("trial"))
    _tell_what_is_left(console, found.left, sum(map(expected.block, found.left)), outcome)
    return budget.plan_with(whole, chosen, f"{text} {preset.name}"), outcome


def _tell_what_is_left(console: "Console", left: Sequence[budget.Block], seconds: float, outcome: Outcome) -> None:
    if left:
        tell(console, f"Left out, since it would take about {clock(seconds)} more:")
        for line in budget.told(left):
            tell(console, f"  {line}")
    if outcome.left:
        tell(console, f"The time was up before these ended: {', '.join(outcome.left)}. The same command goes on.")
