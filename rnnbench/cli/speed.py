"""The command that measures speed against other libraries and against this machine: ``speed``."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnbench.cli.plan import counted, split_names
from rnnbench.cli.run import Engine, command_line, prepare_folder
from rnnbench.cli.text import Json, console, print_json, print_table, tell, warn

Cells = Annotated[
    list[str] | None,
    typer.Option(
        "--cells",
        "--cell",
        help="Cells, separated by commas, or all; path/to/file.py:name for one of your own. "
        "Not given: elman_tanh, gru, lstm.",
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shapes",
        "--shape",
        help="latency, training, long, odd, or TxBxIxH such as 100x32x128x128, separated by commas. Not given: all.",
    ),
]
Modes = Annotated[
    list[str] | None,
    typer.Option("--modes", "--mode", help="forward (inference), training (forward and backward). Not given: both."),
]
Peers = Annotated[
    list[str] | None,
    typer.Option("--peers", "--peer", help="Libraries to time against, separated by commas; all, or none."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", help="Threads of every contender; not given, one for each physical core.")
]
Samples = Annotated[int, typer.Option("--samples", help="Samples of each contender in a row.")]
MaxSeconds = Annotated[
    float, typer.Option("--max-seconds", help="Stop sampling a row after so long, but not before 5 samples of each.")
]
Output = Annotated[Path, typer.Option("--output", help="The folder of the results; a stopped run goes on from it.")]
LATEST = Path("reports/speed")


def speed(
    cells: Cells = None,
    shapes: Shapes = None,
    modes: Modes = None,
    peers: Peers = None,
    threads: Threads = None,
    samples: Samples = 30,
    max_seconds: MaxSeconds = 10.0,
    engine: Engine = "cpu",
    output: Output = LATEST,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the weights and the inputs.")] = 0,
    as_json: Json = False,
) -> None:
    """Time cells against other libraries and against the limits of this machine, and write a report.

    Each contender has a process of its own and they take turns, so that a ratio holds on a busy machine. Cells outside
    torch.nn are also compared with the LSTM per floating-point operation. A null test, a kernel against itself, says
    how much of a difference is noise.
    """
    from rnnbench.cli.speed_plan import make_speed_plan
    from rnnbench.cli.speed_stage import measure_limits, measure_rows
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    chosen, sizes, wanted, against = (split_names(names or ()) for names in (cells, shapes, modes, peers))
    plan = make_speed_plan(chosen, sizes, wanted, against, threads, samples, max_seconds, seed, engine)
    prepare_folder(output)
    out = console(stderr=True)
    with Store(output / "results.sqlite") as store:
        tell(out, f"{plan}; results in {output}")
        for peer, reason in plan.absent.items():
            tell(out, f"without {peer}: {reason}")
        try:
            failures = measure_limits(plan, store, out)
            measure_rows(plan, store, out)
            records = store.records()
            tell(out, "writing the report")
            page = write_report(output, records, machine_facts(), command_line())
        except KeyboardInterrupt:
            kept = f"{counted(len(store), 'row')} in {store.path}"
            tell(out, f"Stopped; {kept}. The same command resumes:\n  {command_line()}")
            tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(output))}")
            raise typer.Exit(130) from None
    asked = {question.key for question in (*plan.rows, *plan.null)}
    mine = [record for record in records if record["key"] in asked]
    shown = [*mine, *(record for record in records if record["kind"] == "limits")]
    if as_json:
        print_json({"report": str(page), "records": shown})
    else:
        _print(shown)
        tell(console(), f"Report: {page}")
    left_out = sum(len(record["excluded"]) for record in mine)
    if left_out:
        warn(out, f"{counted(left_out, 'time')} could not be taken; the report says which. A new --output tries again.")
    if left_out or failures:
        raise typer.Exit(1)


def _print(records: list[dict[str, Any]]) -> None:
    """Print the tables of the report that say how fast the kernels are."""
    from rnnbench.report.speed_tables import speed_tables

    for table in speed_tables(records, brief=True):
        headings = dict(zip(table.columns, table.numeric, strict=True))
        print_table(table.title, headings, [[entry.text for entry in row] for row in table.rows])
