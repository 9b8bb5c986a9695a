"""The commands that only look: ``list``, ``info`` and ``report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnbench.cli.text import Json, console, print_json, print_states, print_table, tell
from rnnbench.errors import RnnbenchError, positive, unknown

if TYPE_CHECKING:
    from rnnbench.lang import CellSpec

Hidden = Annotated[int, typer.Option("--hidden", help="Hidden size H for the counts.")]
Input = Annotated[int, typer.Option("--input", help="Input size I for the counts.")]


KINDS = ("cells", "tasks", "engines", "peers")


def list_all(
    what: Annotated[
        str | None, typer.Argument(help="cells, tasks, engines or peers; not given, all of them.", show_default=False)
    ] = None,
    hidden: Hidden = 128,
    input_size: Input = 128,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a page with every cell's equations, or every task's definition.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List cells, tasks, engines and peers."""
    input_size, hidden = positive("--input", input_size), positive("--hidden", hidden)
    if what is not None and what not in KINDS:
        raise unknown("kind of list", what, KINDS)
    if markdown:
        _print_page(what or "cells", as_json)
        return
    from rnnbench.engines import engines
    from rnnbench.peers import peers

    made = {"cells": lambda: _cells(input_size, hidden), "tasks": _tasks, "engines": engines, "peers": peers}
    listed: dict[str, Any] = {kind: made[kind]() for kind in ([what] if what else KINDS)}
    if as_json:
        print_json(listed)
        return
    for kind, found in listed.items():
        if kind == "cells":
            _print_cells(found, input_size, hidden)
        elif kind == "tasks":
            _print_tasks(found)
        else:
            print_states(kind.capitalize(), found)


def _print_page(what: str, as_json: bool) -> None:
    from rnnbench.report.cells_page import cells_page
    from rnnbench.report.tasks_page import tasks_page

    pages = {"cells": cells_page, "tasks": tasks_page}
    if what not in pages or as_json:
        raise RnnbenchError("--markdown prints cells or tasks, and stands without --json")
    typer.echo(pages[what](), nl=False)


def _cells(input_size: int, hidden: int) -> list[dict[str, Any]]:
    from rnnbench.cells import cells, get_cell

    return [
        {
            "cell": name,
            "recurrence": spec.recurrence,
            "states": list(spec.states),
            "gates": spec.gates,
            "parameters": spec.param_count(input_size, hidden),
            "flops_per_step": spec.flops_per_step(input_size, hidden),
            "sizes": {"I": input_size, "H": hidden},
            "doc": spec.doc,
            "cite": spec.cite,
        }
        for name, spec in ((name, get_cell(name)) for name in cells())
    ]


def _print_cells(counted: list[dict[str, Any]], input_size: int, hidden: int) -> None:
    columns = dict.fromkeys(("cell", "recurrence", "states"), False)
    columns |= dict.fromkeys(("gates", "parameters", "FLOPs per step"), True) | {"what it is": False}
    rows = []
    for cell in counted:
        counts = (f"{cell[count]:,}" for count in ("gates", "parameters", "flops_per_step"))
        rows.append((cell["cell"], cell["recurrence"], " ".join(cell["states"]), *counts, cell["doc"]))
    print_table(f"Cells (counts at I={input_size}, H={hidden})", columns, rows)


def _tasks() -> list[dict[str, Any]]:
    from rnnbench.tasks import describe, source, task_class, tasks

    return [
        {
            "task": name,
            "kind": task.kind,
            "readout": task.readout,
            "default_length": task.default_length,
            "solved_at": task.solved_at,
            "doc": describe(name),
            "source": source(name),
        }
        for name, task in ((name, task_class(name)) for name in tasks())
    ]


def _print_tasks(described: list[dict[str, Any]]) -> None:
    columns = {"task": False, "kind": False, "read out": False, "default length": True, "solved at score": True}
    rows = []
    for task in described:
        place = "at the last step" if task["readout"] == "last" else "at every step"
        numbers = (f"{task['default_length']}", f"{task['solved_at']:g}")
        rows.append((task["task"], task["kind"], place, *numbers, task["doc"]))
    print_table("Tasks", columns | {"what it is": False}, rows)


def info(
    cell: Annotated[str, typer.Argument(help="A cell's name, or path/to/file.py:name for one of your own.")],
    hidden: Hidden = 128,
    input_size: Input = 128,
    latex: Annotated[bool, typer.Option("--latex", help="Print only the equations, in LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Show a cell's equations as they were traced, its parameters, its cost and its source."""
    from rnnbench.cells import get_cell

    hidden, input_size = positive("--hidden", hidden), positive("--input", input_size)
    spec = get_cell(cell)
    if as_json:
        from rnnbench.cli.check import derivation

        print_json({"doc": spec.doc, "cite": spec.cite, **derivation(spec, input_size, hidden)})
        return
    if latex:
        for line in spec.latex():
            typer.echo(line)
        return
    from rnnbench.lang.chunks import class_in_words

    program = spec.program
    out = console()
    out.print(f"[bold]{spec.name}[/bold]", highlight=False)
    for text in (spec.doc, spec.cite):
        tell(out, text)
    out.print("\n[bold]Equations[/bold], as traced", highlight=False)
    for line in spec.equations():
        tell(out, f"  {line}")
    out.print(f"\n[bold]Parameters[/bold] at I={input_size}, H={hidden}", highlight=False)
    for name in spec.params:
        dims = program.shape(name, input_size, hidden)
        structure = next((rule for key, rule in spec.structures.items() if name in key.split() or key == name[0]), "")
        tell(out, f"  {name:<6} {list(dims)}  {structure}".rstrip())
    facts = {
        "states": ", ".join(_state(spec, state, hidden) for state in spec.states),
        "gates": f"{spec.gates} pre-activations per unit",
        "recurrence": class_in_words(program),
        "parameters": f"{spec.param_count(input_size, hidden):,}",
        "FLOPs": f"{spec.flops_per_step(input_size, hidden):,} per step of one sequence, forward",
        "bytes": f"{spec.bytes_per_step(input_size, hidden):,} moved per step of one sequence, forward, float32",
    }
    if spec.hyper:
        facts["hyper-parameters"] = ", ".join(f"{name}={value:g}" for name, value in spec.hyper.items())
    out.print()
    for name, value in facts.items():
        out.print(f"[bold]{name:<17}[/bold] {value}", highlight=False)


def _state(spec: "CellSpec", state: str, hidden: int) -> str:
    """Return a state's name, with its size where that is another than H."""
    size = spec.sizes.get(state)
    return state if size is None else f"{state} of {spec.program.state_shape(state, hidden)[0]} units ({size} of H)"


def report(
    folder: Annotated[Path, typer.Argument(help="A run's output folder, or asv's results (reports/asv).")],
    as_json: Json = False,
) -> None:
    """Write a folder's report again from the results in it: report.html, summary.md, figures, results.json."""
    from rnnbench.report import report_from_folder

    page = report_from_folder(folder)
    if as_json:
        print_json({"report": str(page), "results": str(page.with_name("results.json"))})
    else:
        tell(console(), f"Report: {page}")
