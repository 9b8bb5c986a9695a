"""The command ``run``."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli import config
from rnnbench.cli.plan import Plan, choose_preset, counted, make_plan, split_names
from rnnbench.cli.presets import QUICK
from rnnbench.cli.text import Json, console, print_json, tell, warn
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.cli.stages import Outcome, Pace
    from rnnbench.trials import Store

    Work = Callable[[Store, Console], tuple[Plan, Outcome]]

Quick = Annotated[bool, typer.Option("--quick", help="The RNN, LSTM and GRU on small sizes: minutes.")]
Full = Annotated[bool, typer.Option("--full", help="More lengths, sizes and seeds: hours.")]
Cells = Annotated[
    list[str] | None,
    typer.Option("--cells", "--cell", help="Cells, separated by commas; path/to/file.py:name for one of your own."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", "--task", help="Tasks, separated by commas; forecast:FILE.csv:COLUMN for your own data."),
]
Window = Annotated[int | None, typer.Option("--window", help="How many past values a forecast sees.")]
Engine = Annotated[str, typer.Option("--engine", help="The engine that runs the cells.")]
Output = Annotated[Path, typer.Option("--output", help="The folder of the results; a stopped run goes on from it.")]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="Trials at a time, each on one thread; not given, one for each core; 0: one by one in this process.",
    ),
]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Train on the workers of this dask.distributed scheduler.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Measure what fits this time on this machine: 90s, 10m, 2h.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The first of the trials' seeds; the others follow it.")]
LATEST = Path("reports/latest")


def run(
    quick: Quick = False,
    full: Full = False,
    budget: Budget = None,
    cells: Cells = None,
    tasks: Tasks = None,
    window: Window = None,
    seed: Seed = 0,
    engine: Engine = "cpu",
    output: Output = LATEST,
    processes: Processes = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Measure speed, memory and long-range accuracy of cells on this machine and write a report."""
    begun = time.monotonic()
    from rnnbench.cli.stages import Pace

    if processes is not None and processes < 0:
        raise RnnbenchError(f"--processes must be at least 0, got {processes}")
    if processes is not None and scheduler is not None:
        raise RnnbenchError("--processes is for this machine, and --scheduler for a cluster: give one of the two")
    pace = Pace(processes, scheduler)
    chosen = split_names(cells or ()), split_names(tasks or ()), window, engine
    if budget is None:
        work = _planned(make_plan(choose_preset(quick, full), *chosen, seed), pace, output)
    elif seed:
        raise RnnbenchError("--budget takes as many seeds as there is time for, from 0 on: give it without --seed")
    else:
        work = _within(budget, begun, quick or full, chosen, pace)
    _measure_and_report(work, output, pace, as_json=as_json)


def _planned(plan: Plan, pace: "Pace", output: Path) -> "Work":
    def work(store: "Store", out: "Console") -> "tuple[Plan, Outcome]":
        from rnnbench.cli.expected import expected_stages
        from rnnbench.cli.stages import carry_out

        tell(out, f"{plan}; results in {output}")
        return plan, carry_out(plan, store, out, pace, expected_stages(plan, store, pace.processes))

    return work


def _within(text: str, begun: float, sized: bool, chosen: "tuple[Any, ...]", pace: "Pace") -> "Work":
    from rnnbench.cli.budget import seconds_in

    if sized:
        raise RnnbenchError("--budget chooses the sizes itself: give it without --quick and --full")
    if pace.scheduler is not None:
        raise RnnbenchError("--budget knows this machine and no cluster: give it without --scheduler")
    seconds_in(text)  # a wrong one is told before anything starts
    make_plan(QUICK, *chosen)  # and so are wrong names

    def work(store: "Store", out: "Console") -> "tuple[Plan, Outcome]":
        from rnnbench.cli.within import Asked, carry_out_within

        return carry_out_within(text, begun, Asked(*chosen), store, out, pace)

    return work


def _measure_and_report(work: "Work", output: Path, pace: "Pace", as_json: bool = False) -> None:
    """Measure by ``work``, write the report into ``output``, and print the answers; see ``run`` for the exit codes."""
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    if pace.scheduler is not None:
        from rnnbench.trials.executors.cluster import check_scheduler

        check_scheduler(pace.scheduler)  # before hours of measuring
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        try:
            plan, outcome = work(store, out)
            records = store.records()
            tell(out, "writing the report")
            page = write_report(output, records, machine_facts(), command_line())
        except KeyboardInterrupt:
            kept = f"{counted(len(store), 'measurement')} in {store.path}"
            tell(out, f"Stopped; {kept}. The same command resumes:\n  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    mine = [record for record in records if belongs(record, plan)]
    if as_json:
        found = {"report": str(page), "failures": outcome.failures, "left": outcome.left, "records": mine}
        print_json(found)
    else:
        from rnnbench.cli.verdict import print_answers, print_verdict

        print_answers(mine)
        print_verdict(mine)
        tell(console(), f"Report: {page}")
    if outcome.failures:
        warn(
            out, f"{counted(len(outcome.failures), 'measurement')} failed, as told above; the same command tries again."
        )
        raise typer.Exit(1)


def prepare_folder(folder: Path) -> None:
    """Make ``folder`` and see that files can be written there, or raise RnnbenchError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".rnnbench-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RnnbenchError(f"cannot write to output folder {folder}: {reason}; name another with --output") from error


def command_line() -> str:
    """Return the command as it was given, with what a configuration added to it, ready to be pasted into a shell."""
    return config.command_line(sys.argv[1:])


def belongs(record: dict[str, Any], plan: Plan) -> bool:
    """Return whether ``record`` is on one of the plan's cells: a folder may hold those of earlier runs too."""
    about = record["trial"] if record["kind"].endswith("trial") else record
    return about.get("cell") in plan.cells
