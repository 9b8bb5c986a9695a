"""The command ``gradients``: how far gradients reach back in each cell, and what its state remembers."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli.plan import counted, split_names
from rnnbench.cli.progress import stage
from rnnbench.cli.run import command_line, prepare_folder
from rnnbench.cli.text import Json, console, print_json, print_table, tell
from rnnbench.errors import RnnbenchError, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from rnnbench.measure.gradient_record import FlowQuestion
    from rnnbench.trials import Store

Cells = Annotated[
    list[str] | None,
    typer.Option("--cells", "--cell", help="Cells, separated by commas; path/to/file.py:name for one of your own."),
]
Task = Annotated[
    str | None, typer.Option("--task", help="Train on this task too, and feed its inputs; not given, noise goes in.")
]
Length = Annotated[int | None, typer.Option("--length", help="T of the noise (100), or the task's length (its own).")]
Steps = Annotated[int, typer.Option("--steps", help="Optimiser steps of the training, at most.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Of the training; not given, that of a trial.")]
Inputs = Annotated[int, typer.Option("--input", help="Input size I of the noise; a task has its own.")]
Output = Annotated[Path, typer.Option("--output", help="The folder of the results; a stopped run goes on from it.")]
DEFAULT_CELLS = ("elman_tanh", "lstm", "gru", "indrnn")
DEFAULT_LENGTH = 100
LATEST = Path("reports/gradients")


def gradients(
    cells: Cells = None,
    length: Length = None,
    hidden: Annotated[int, typer.Option("--hidden", help="Hidden size H.")] = 32,
    task: Task = None,
    steps: Steps = 500,
    learning_rate: Rate = None,
    input_size: Inputs = 1,
    sequences: Annotated[int, typer.Option("--sequences", help="Input sequences that are followed.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of the weights, the inputs and the training.")] = 0,
    output: Output = LATEST,
    as_json: Json = False,
) -> None:
    """Measure how gradients vanish or explode in each cell, at initialisation and after training on a task.

    For each cell: the norm of the derivative of the last state by earlier ones, Lyapunov exponents, memory capacity and
    the time scales of its states, all from the derived adjoint, so for cells of your own as well.
    """
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    questions = make_questions(
        split_names(cells or ()), task, length, hidden, steps, learning_rate, input_size, sequences, seed
    )
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        tell(out, f"gradient flow of {counted(len({q.cell for q in questions}), 'cell')}; results in {output}")
        try:
            failures = _measure(questions, store, out)
            records = store.records()
            tell(out, "writing the report")
            page = write_report(output, records, machine_facts(), command_line()) if records else None
        except KeyboardInterrupt:
            tell(out, f"Stopped; {counted(len(store), 'record')} in {store.path}. The same command resumes:")
            tell(out, f"  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    asked = {question.key for question in questions}
    mine = [record for record in records if record["key"] in asked]
    if as_json:
        print_json(mine)
    else:
        _print(mine)
    if page is not None:
        tell(out if as_json else console(), f"Report: {page}")
    if failures:
        raise typer.Exit(1)


def make_questions(
    cells: "Sequence[str]" = (),
    task: str | None = None,
    length: int | None = None,
    hidden: int = 32,
    steps: int = 500,
    learning_rate: float | None = None,
    input_size: int = 1,
    sequences: int = 8,
    seed: int = 0,
) -> "list[FlowQuestion]":
    """Return what is measured, every argument checked: each cell as it starts, and with a task trained as well.

    Raises RnnbenchError for an unknown cell or task and for a size that is none; see the command's options.
    """
    from rnnbench.cells import get_cell
    from rnnbench.measure.gradient_flow import driven_states
    from rnnbench.measure.gradient_record import FlowQuestion

    for name, value in {"--hidden": hidden, "--steps": steps, "--input": input_size, "--sequences": sequences}.items():
        positive(name, value)
    if seed < 0:
        raise RnnbenchError(f"--seed must be at least 0, got {seed}")
    questions = []
    for cell in dict.fromkeys(cells or DEFAULT_CELLS):
        if not driven_states(get_cell(cell).program):
            raise RnnbenchError(f"no state of {cell} depends on its input: it has no gradient flow")
        if task is None:
            T = DEFAULT_LENGTH if length is None else positive("--length", length)
            questions.append(FlowQuestion(cell, "initial", hidden, T, sequences, input_size, seed))
            continue
        trial = _trial(cell, task, length, hidden, steps, learning_rate, seed)
        for weights in ("initial", "trained"):
            questions.append(FlowQuestion(cell, weights, hidden, trial["length"], sequences, input_size, seed, trial))
    return questions


def _trial(
    cell: str, task: str, length: int | None, hidden: int, steps: int, learning_rate: float | None, seed: int
) -> dict[str, Any]:
    from rnnbench.trials import Trial

    fields: dict[str, Any] = {"cell": cell, "task": task, "length": length, "hidden": hidden, "steps": steps}
    if learning_rate is not None:
        fields["learning_rate"] = learning_rate
    return Trial(**fields, seed=seed).model_dump()


def _measure(questions: "Sequence[FlowQuestion]", store: "Store", out: "Console") -> list[str]:
    """Add the record of each question that the store does not hold, and return a sentence for each that failed."""
    from rnnbench.measure.gradient_record import gradient_record

    failures = []
    missing = [question for question in questions if question.key not in store]
    with stage(out, "gradients", len(questions)) as progress:
        progress.skip(len(questions) - len(missing))
        for question in missing:
            name = f"{question.cell}, {question.weights} weights"
            progress.say(name)
            try:
                store.add(gradient_record(question, lambda doing, name=name: progress.say(f"{name}: {doing}")))
            except RnnbenchError as error:
                failures.append(f"no gradient flow of {name}: {error}")
                progress.note(failures[-1])
            progress.step()
    return failures


def _print(records: "Sequence[dict[str, Any]]") -> None:
    from rnnbench.report.gradients import gradient_table

    table = gradient_table(records)
    if table is not None:
        headings = dict(zip(table.columns, table.numeric, strict=True))
        print_table(table.title, headings, [[entry.text for entry in row] for row in table.rows])
