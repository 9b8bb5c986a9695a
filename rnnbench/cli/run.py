"""The commands that measure: ``run`` and ``compare``."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnbench.cli.plan import Plan, choose_preset, counted, make_plan, split_names
from rnnbench.cli.text import console, tell
from rnnbench.errors import RnnbenchError, positive

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
    int | None, typer.Option("--processes", help="Trials at a time, each on one thread; not given, one for each core.")
]
LATEST = Path("reports/latest")


def run(
    quick: Quick = False,
    full: Full = False,
    cells: Cells = None,
    tasks: Tasks = None,
    window: Window = None,
    engine: Engine = "cpu",
    output: Output = LATEST,
    processes: Processes = None,
) -> None:
    """Measure speed, memory and long-range accuracy of cells on this machine and write a report."""
    plan = make_plan(choose_preset(quick, full), split_names(cells or ()), split_names(tasks or ()), window, engine)
    _measure_and_report(plan, output, processes)


def compare(
    names: Annotated[list[str], typer.Argument(help="Two or more cells; path/to/file.py:name for one of your own.")],
    quick: Quick = False,
    full: Full = False,
    tasks: Tasks = None,
    window: Window = None,
    engine: Engine = "cpu",
    output: Output = LATEST,
    processes: Processes = None,
) -> None:
    """Run the same comparison for some cells only and print a verdict, side by side."""
    chosen = split_names(names)
    if len(set(chosen)) < 2:
        raise RnnbenchError(f"compare takes two or more different cells, got {' '.join(chosen)}")
    plan = make_plan(choose_preset(quick, full), chosen, split_names(tasks or ()), window, engine)
    _measure_and_report(plan, output, processes, side_by_side=True)


def _measure_and_report(plan: Plan, output: Path, processes: int | None, side_by_side: bool = False) -> None:
    from rnnbench.cli.stages import carry_out
    from rnnbench.cli.verdict import print_answers, print_verdict
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    if processes is not None:
        positive("--processes", processes)
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        tell(out, f"{plan}; results in {output}")
        try:
            failures = carry_out(plan, store, out, processes)
            records = store.records()
            tell(out, "writing the report")
            page = write_report(output, records, machine_facts(), command_line())
        except KeyboardInterrupt:
            kept = f"{counted(len(store), 'measurement')} in {store.path}"
            tell(out, f"Stopped; {kept}. The same command resumes:\n  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    mine = [record for record in records if belongs(record, plan)]
    print_answers(mine)
    print_verdict(mine, side_by_side)
    tell(console(), f"Report: {page}")
    if failures:
        tell(out, f"{counted(len(failures), 'measurement')} failed, as told above; the same command tries again.")
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
    """Return the command as it was given, ready to be pasted into a shell."""
    return shlex.join(["rnnbench", *sys.argv[1:]])


def belongs(record: dict[str, Any], plan: Plan) -> bool:
    """Return whether ``record`` is on one of the plan's cells: a folder may hold those of earlier runs too."""
    about = record["trial"] if record["kind"] == "trial" else record
    return about["cell"] in plan.cells
