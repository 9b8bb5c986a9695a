"""Run the rows of the table of published results, and write the table.

    python -m benchmarks.accuracy [--only NAME ...] [--seeds N] [--budget MINUTES] [--output FOLDER]

Trials go to ``accuracy.sqlite`` in the folder, each when it ends: what was stopped goes on with the same command. The
table is written again after every row, from what the store holds.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.blind import Blind
from benchmarks.accuracy.claim import Claim
from benchmarks.accuracy.claims import CLAIMS
from benchmarks.accuracy.table import write
from rnnbench.errors import RnnbenchError, positive, unknown
from rnnbench.measure import machine_facts
from rnnbench.trials import Event, Store, run_all

ROWS: list[Blind | Claim] = [Blind(), *CLAIMS]
FOLDER = Path("reports/accuracy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit code: 0 done, 1 where a trial failed, 2 for bad input."""
    asked = _parse(arguments)
    try:
        return _run(asked)
    except RnnbenchError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("accuracy: stopped; the same command goes on", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="run this row; may be given several times")
    parser.add_argument("--seeds", type=int, help="seeds of each arm (by default the row's own number)")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop after this time")
    parser.add_argument("--processes", type=int, help="trials at a time (by default one for each core)")
    parser.add_argument("--output", type=Path, default=FOLDER, help=f"folder of the table and its store ({FOLDER})")
    parser.add_argument("--list", action="store_true", help="name the rows, and run nothing")
    return parser.parse_args(arguments)


def _run(asked: argparse.Namespace) -> int:
    names = [row.name for row in ROWS]
    for name in asked.only or ():
        if name not in names:
            raise unknown("row", name, names)
    if asked.seeds is not None:
        positive("--seeds", asked.seeds)
    if asked.list:
        print("\n".join(names))
        return 0
    deadline = None if asked.budget is None else time.monotonic() + 60 * asked.budget
    failed = 0
    with Store(asked.output / "accuracy.sqlite") as store:
        for row in ROWS:
            if row.name in (asked.only or names):
                failed += _carry_out(row, store, asked, deadline)
            write(asked.output, [each.row(store, asked.seeds) for each in ROWS])
    print(asked.output / "accuracy.md")
    return 1 if failed else 0


def _carry_out(row: Blind | Claim, store: Store, asked: argparse.Namespace, deadline: float | None) -> int:
    """Run what the store lacks of a row, and return how many trials failed."""
    if isinstance(row, Blind):
        row.measure(store)
        return 0

    def hear(event: Event) -> None:
        if event.kind == "finished" and event.record is not None:
            outcome = "solved" if event.record["solved"] else f"score {event.record['score']:.3f}"
            print(f"{row.name} {event.done}/{event.total}: {event.trial}: {outcome}", file=sys.stderr, flush=True)
        elif event.kind in ("failed", "lost"):
            print(f"{row.name}: {event.trial}: {event.message}", file=sys.stderr, flush=True)

    trials = row.trials(asked.seeds)
    summary = run_all(trials, store, asked.processes, on_event=hear, where=machine_facts(), deadline=deadline)
    return len(summary.failed)


if __name__ == "__main__":
    sys.exit(main())
