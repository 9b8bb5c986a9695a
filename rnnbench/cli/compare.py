"""The command ``compare``: is there a difference between these cells, is it real, and how many seeds would show it."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli.plan import choose_preset, counted, split_names, stem
from rnnbench.cli.progress import stage
from rnnbench.cli.run import (
    LATEST,
    Engine,
    Full,
    Output,
    Processes,
    Quick,
    Scheduler,
    Tasks,
    Window,
    command_line,
    prepare_folder,
)
from rnnbench.cli.text import Json, console, print_json, print_table, tell
from rnnbench.errors import RnnbenchError, positive

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.cli.presets import Preset
    from rnnbench.compare.comparison import Comparison
    from rnnbench.trials import Event, Store
    from rnnbench.trials.matching import Match
    from rnnbench.trials.plan import Plan

Names = Annotated[
    list[str], typer.Argument(help="Two or more cells or controls; path/to/file.py:name for a cell of your own.")
]
Lengths = Annotated[
    list[str] | None, typer.Option("--lengths", "--length", help="T in time steps, several separated by commas.")
]
Seeds = Annotated[int, typer.Option("--seeds", help="How many seeds each cell is trained with.")]
Matching = Annotated[
    str, typer.Option("--match", help="What cells have in common: hidden, parameters, state or wall-clock.")
]
Reference = Annotated[
    str | None, typer.Option("--reference", help="The cell whose size the others are matched to; not given, the first.")
]
Baseline = Annotated[
    str | None, typer.Option("--baseline", help="Hold all others against this cell alone, and not all against all.")
]
Hidden = Annotated[
    int | None, typer.Option("--hidden", help="Hidden size H, of the reference where sizes are matched.")
]
Steps = Annotated[int | None, typer.Option("--steps", help="The budget of a trial, in optimiser steps.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Of all trials.")]
Against = Annotated[
    Path | None, typer.Option("--against", help="An older results file: what has changed in the same trials since.")
]


def compare(
    names: Names,
    quick: Quick = False,
    full: Full = False,
    tasks: Tasks = None,
    lengths: Lengths = None,
    seeds: Seeds = 5,
    match: Matching = "hidden",
    reference: Reference = None,
    baseline: Baseline = None,
    hidden: Hidden = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    window: Window = None,
    engine: Engine = "cpu",
    output: Output = LATEST,
    processes: Processes = None,
    scheduler: Scheduler = None,
    against: Against = None,
    as_json: Json = False,
) -> None:
    """Say in words whether cells differ, and how many more seeds would show it where they cannot be told apart.

    Trains what is not stored yet. Tasks, lengths and training are those of the preset unless they are given.
    """
    from rnnbench.compare.ask import question

    preset = choose_preset(quick, full)
    given = {"hidden": hidden, "steps": steps, "learning_rate": learning_rate}
    settings = {
        **preset.training,
        "engine": engine,
        **{name: value for name, value in given.items() if value is not None},
    }
    settings["evaluate_every"] = min(settings.get("evaluate_every", 100), settings["steps"])
    chosen = split_names(tasks or ()) or preset.tasks
    plan = question(
        split_names(names),
        chosen,
        _lengths(preset, chosen, split_names(lengths or ()), window),
        positive("--seeds", seeds),
        match,
        reference,
        settings,
    )
    _answer(plan, output, baseline, processes, scheduler, against, as_json)


def _lengths(
    preset: "Preset", tasks: tuple[str, ...], given: tuple[str, ...], window: int | None
) -> dict[str, tuple[int, ...]]:
    """Return the lengths by task: those given, a forecast's window, else the preset's; a task without has its own."""
    from rnnbench.tasks import task_class

    if window is not None and not any(stem(task) == "forecast" for task in tasks):
        raise RnnbenchError("--window needs a forecast among the tasks, as in --task forecast:prices.csv:close")
    if not all(length.isdigit() and int(length) > 0 for length in given):
        raise RnnbenchError(f"--lengths must be whole numbers of at least 1, got {','.join(given)}")
    found: dict[str, tuple[int, ...]] = {}
    for task in tasks:
        if window is not None and stem(task) == "forecast":
            found[task] = (positive("--window", window),)
        elif given and not task_class(task).fixed_length:
            found[task] = tuple(dict.fromkeys(int(length) for length in given))
        elif not given and stem(task) in preset.lengths:
            found[task] = preset.lengths[stem(task)]
    return found


def _answer(
    plan: "Plan",
    output: Path,
    baseline: str | None,
    processes: int | None,
    scheduler: str | None,
    against: Path | None,
    as_json: bool,
) -> None:
    from rnnbench.compare.ask import check_baseline
    from rnnbench.compare.older import Older
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    check_baseline(plan, baseline)
    older = None if against is None else Older.read(against)
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        tell(out, f"{counted(len(plan.places()) * len(plan.seeds), 'trial')}; results in {output}")
        try:
            found = _run(plan, store, out, baseline, processes, scheduler, older)
            tell(out, "writing the report")
            page = write_report(output, store.records(), machine_facts(), command_line())
            files = _write(found, output)
        except KeyboardInterrupt:
            kept = f"{counted(len(store), 'record')} in {store.path}"
            tell(out, f"Stopped; {kept}. The same command resumes:\n  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    if as_json:
        print_json(found.to_json() | {"output": str(output), "report": str(page), "figure": str(files[-1])})
    else:
        _print(found)
        tell(console(), f"Figure: {files[-1]}\nReport: {page}")
    if found.failures:
        raise typer.Exit(1)


def _run(
    plan: "Plan",
    store: "Store",
    out: "Console",
    baseline: str | None,
    processes: int | None,
    scheduler: str | None,
    older: Any,
) -> "Comparison":
    from rnnbench.compare.ask import answer

    with stage(out, "trials", len(plan.places()) * len(plan.seeds)) as progress:

        def hear(event: "Event") -> None:
            if event.kind == "failed":
                progress.note(f"trial {event.trial} failed: {event.message}")
            progress.done = event.done
            progress.say(str(event.trial), event.seconds_left)

        def sized(match: "Match") -> None:
            progress.say(f"{match.place}: H={match.hidden}")

        found = answer(plan, store, baseline, processes, scheduler, hear, sized, older)
        progress.done = len(found.records)
    return found


def _write(found: "Comparison", output: Path) -> list[Path]:
    """Write the answer beside the report: as Markdown, as JSON and as a picture, and return the files."""
    from rnnbench.compare.figure import svg
    from rnnbench.report.source import replace_text

    texts = {
        "comparison.md": found.markdown(),
        "comparison.json": json.dumps(found.to_json(), allow_nan=False, indent=1),
        "comparison.svg": svg(found.figure),
    }
    try:
        for name, text in texts.items():
            replace_text(output / name, text)
    except OSError as error:
        raise RnnbenchError(f"cannot write the comparison to {output}: {error.strerror or error}") from error
    return [output / name for name in texts]


def _print(found: "Comparison") -> None:
    from rnnbench.compare.words import cells_table, pairs_table

    tell(console(), found.words)
    for shown in (cells_table(found), pairs_table(found)):
        headings = dict(zip(shown.columns, shown.numeric, strict=True))
        print_table(shown.title, headings, [[entry.text for entry in row] for row in shown.rows])
