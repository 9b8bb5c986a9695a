"""The command ``horizon``: the longest length that each cell still solves within a budget."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli.plan import counted, split_names
from rnnbench.cli.progress import stage
from rnnbench.cli.run import Engine, Processes, command_line, prepare_folder
from rnnbench.cli.sweep import Scheduler
from rnnbench.cli.text import Json, console, print_json, print_table, tell
from rnnbench.errors import RnnbenchError, positive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from rnnbench.cli.progress import Stage
    from rnnbench.trials import Event, Store, Trial
    from rnnbench.trials.horizon import Search

Cells = Annotated[
    list[str] | None,
    typer.Option("--cells", "--cell", help="Cells, separated by commas; path/to/file.py:name for one of your own."),
]
Tasks = Annotated[list[str] | None, typer.Option("--tasks", "--task", help="Tasks, separated by commas.")]
Steps = Annotated[int, typer.Option("--steps", "--budget-steps", help="The budget of a trial, in optimiser steps.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Of the training; not given, that of a trial.")]
Seeds = Annotated[int, typer.Option("--seeds", help="How many seeds; a length is solved if most of them solve it.")]
Start = Annotated[int, typer.Option("--start", help="The first length that is tried.")]
Longest = Annotated[int, typer.Option("--longest", help="No length above this is tried.")]
Precision = Annotated[
    float, typer.Option("--precision", help="The gap at which a search ends, as a share of the solved length.")
]
Output = Annotated[Path, typer.Option("--output", help="The folder of the results; a stopped run goes on from it.")]
DEFAULT_CELLS = ("elman_tanh", "lstm", "gru")
DEFAULT_TASKS = ("adding", "temporal_order_3")
LATEST = Path("reports/horizon")


def horizon(
    cells: Cells = None,
    tasks: Tasks = None,
    hidden: Annotated[int, typer.Option("--hidden", help="Hidden size H.")] = 32,
    steps: Steps = 800,
    learning_rate: Rate = 0.01,
    seeds: Seeds = 3,
    start: Start = 16,
    longest: Longest = 1000,
    precision: Precision = 0.125,
    engine: Engine = "cpu",
    processes: Processes = None,
    scheduler: Scheduler = None,
    output: Output = LATEST,
    as_json: Json = False,
) -> None:
    """Find the longest length at which each cell still solves a task within a budget: its horizon.

    Lengths are doubled until one is not solved by most seeds, and the gap is then halved. One number per cell and task.
    """
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store
    from rnnbench.trials.horizon import make_searches

    for name, value in {"--hidden": hidden, "--steps": steps, "--seeds": seeds}.items():
        positive(name, value)
    if processes is not None and processes < 0:
        raise RnnbenchError(f"--processes must be at least 0, got {processes}")
    fields: dict[str, Any] = {"hidden": hidden, "steps": steps, "engine": engine}
    fields |= {} if learning_rate is None else {"learning_rate": learning_rate}
    fields |= {"evaluate_every": min(50, steps)}
    searches = make_searches(
        split_names(cells or ()) or DEFAULT_CELLS,
        split_names(tasks or ()) or DEFAULT_TASKS,
        range(seeds),
        start,
        longest,
        precision,
        fields,
    )
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        tell(out, f"{counted(len(searches), 'horizon')}, each on {counted(seeds, 'seed')}; results in {output}")
        try:
            failures = _search(searches, store, out, processes, scheduler)
            records = store.records()
            tell(out, "writing the report")
            page = write_report(output, records, machine_facts(), command_line()) if records else None
        except KeyboardInterrupt:
            tell(out, f"Stopped; {counted(len(store), 'record')} in {store.path}. The same command resumes:")
            tell(out, f"  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    asked = {search.key for search in searches}
    mine = [record for record in records if record["key"] in asked]
    if as_json:
        print_json({"output": str(output), "report": page and str(page), "failures": failures, "records": mine})
    else:
        _print(mine)
    if page is not None:
        tell(out if as_json else console(), f"Report: {page}")
    if failures:
        raise typer.Exit(1)


def _search(
    searches: "Sequence[Search]", store: "Store", out: "Console", processes: int | None, scheduler: str | None
) -> list[str]:
    """Add the record of each horizon that the store does not hold, and return a sentence for each that failed."""
    from rnnbench.measure import machine_facts
    from rnnbench.trials import run_all
    from rnnbench.trials.horizon import find_horizons

    with stage(out, "horizons", len(searches)) as progress:
        progress.skip(sum(search.key in store for search in searches))

        def run(trials: "Sequence[Trial]") -> "Iterable[tuple[Trial, str]]":
            told = _teller(progress)
            return run_all(trials, store, processes, scheduler, on_event=told, where=machine_facts).failed

        def found(search: "Search") -> None:
            progress.step(f"{search}: found")

        failures = find_horizons(searches, store, run, machine_facts(), found)
        for sentence in failures:
            progress.note(sentence)
    return failures


def _teller(progress: "Stage") -> "Callable[[Event], None]":
    def hear(event: "Event") -> None:
        # How many rounds are still to come nobody knows, so no time left is told.
        progress.say(f"{event.trial.cell} on {event.trial.task} at T={event.trial.length}, seed {event.trial.seed}")

    return hear


def _print(records: "Sequence[dict[str, Any]]") -> None:
    from rnnbench.report.horizon import horizon_table

    found = horizon_table(records)
    if found is not None:
        headings = dict(zip(found.columns, found.numeric, strict=True))
        print_table(found.title, headings, [[entry.text for entry in row] for row in found.rows])
