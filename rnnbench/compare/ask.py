"""Asking: what has to be trained for a comparison, trained where it is missing, and answered from the results store."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.compare.comparison import Comparison
    from rnnbench.compare.older import Older
    from rnnbench.trials import Event, Store
    from rnnbench.trials.matching import Match
    from rnnbench.trials.plan import Plan


def compare(
    *cells: str,
    task: str | Sequence[str] = "adding",
    length: int | Sequence[int] | None = None,
    seeds: int | Sequence[int] = 5,
    match: str = "hidden",
    reference: str | None = None,
    baseline: str | None = None,
    output: str | Path | None = "reports/latest",
    processes: int | None = None,
    against: str | Path | None = None,
    **settings: Any,
) -> "Comparison":
    """Compare cells on tasks: train what is not stored yet, and say which differences are real.

    Parameters
    ----------
    cells : two or more names of cells or controls, or "path/to/file.py:name".
    task, length : one or several. ``length``: T in time steps (None: the task's default).
    seeds : how many, counted from 0, or which.
    match : what the cells have in common: "hidden" size, "parameters", "state" or "wall-clock"; what has to be met is
        the ``reference`` cell's (None: the first's) at ``hidden``, one of ``settings``.
    baseline : hold all others against this cell alone; not given, every cell is held against every other.
    output : folder of the results (None: nothing is kept). The command ``rnnbench compare`` uses the same.
    processes : at a time; 0: in this process. A script that asks for others needs ``if __name__ == "__main__":``.
    against : an older results file, or its folder, to hold the results against as well.
    settings : other fields of ``Trial``: hidden, steps, learning_rate, engine, ...

    Returns a ``Comparison``: ``words``, ``table``, ``pairs`` and ``figure``; a notebook shows all of it.
    Raises RnnbenchError for anything unknown or impossible, and where no seed was finished by all cells.
    """
    from rnnbench.compare.older import Older
    from rnnbench.trials import Store

    tasks, lengths = ([task] if isinstance(task, str) else task), ([length] if isinstance(length, int) else length)
    plan = question(cells, tasks, lengths or (), seeds, match, reference, settings)
    check_baseline(plan, baseline)
    older = None if against is None else Older.read(against)
    with _folder(output) as folder, Store(Path(folder) / "results.sqlite") as store:
        return answer(plan, store, baseline, processes=processes, older=older)


def question(
    cells: Sequence[str],
    tasks: Sequence[str],
    lengths: Sequence[int] | Mapping[str, Sequence[int]],
    seeds: int | Sequence[int],
    match: str = "hidden",
    reference: str | None = None,
    settings: dict[str, Any] | None = None,
) -> "Plan":
    """Return the trials of a comparison as a plan; RnnbenchError for what cannot be compared."""
    from rnnbench.cells import get_cell
    from rnnbench.trials.controls import CONTROLS
    from rnnbench.trials.plan import Plan

    if reference is not None and reference not in CONTROLS:
        get_cell(reference)
    if len(set(cells)) < 2:
        raise RnnbenchError(f"compare takes two or more different cells, got {' '.join(cells) or 'none'}")
    given = dict(lengths) if isinstance(lengths, Mapping) else tuple(lengths)
    made: dict[str, Any] = {
        "cells": tuple(dict.fromkeys(cells)),
        "tasks": tuple(dict.fromkeys(tasks)),
        "lengths": given,
    }
    first = next((cell for cell in cells if cell not in CONTROLS), cells[0])
    made |= {"seeds": seeds if isinstance(seeds, int) else tuple(seeds), "match": match}
    return Plan(**made, reference=reference or first, settings=settings or {})


def answer(
    plan: "Plan",
    store: "Store",
    baseline: str | None = None,
    processes: int | None = None,
    scheduler: str | None = None,
    on_event: "Callable[[Event], None] | None" = None,
    on_match: "Callable[[Match], None] | None" = None,
    older: "Older | None" = None,
) -> "Comparison":
    """Return the answer to ``question``: sizes matched and trials run where ``store`` does not hold them yet.

    ``on_event``, ``on_match``: told what is going on, as ``run_all`` and ``matched`` do. ``older``: results to hold the
    answer against. Raises Interrupted after Ctrl-C; what was finished by then is stored.
    """
    from rnnbench.compare.comparison import Comparison
    from rnnbench.measure import machine_facts
    from rnnbench.trials import run_all
    from rnnbench.trials.matching import matched, to_record

    check_baseline(plan, baseline)

    def keep(found: "Match") -> None:
        store.add(to_record(found))
        if on_match is not None:
            on_match(found)

    hidden = {place: match.hidden for place, match in matched(plan, store, keep).items()}
    trials = plan.trials(hidden, {})
    summary = run_all(trials, store, processes, scheduler, on_event, machine_facts)
    records = [record for record in (store.get(trial.key) for trial in trials) if record is not None]
    failures = [f"trial {trial} failed: {message}" for trial, message in summary.failed]
    return Comparison.of(records, plan.match, plan.reference, baseline, failures, older)


def check_baseline(plan: "Plan", baseline: str | None) -> None:
    """Raise RnnbenchError unless ``baseline`` is one of the cells compared, or None."""
    if baseline is not None and baseline not in plan.cells:
        raise RnnbenchError(
            f"the baseline must be one of the cells compared, {', '.join(plan.cells)}; got {baseline!r}"
        )


@contextmanager
def _folder(output: str | Path | None) -> Iterator[str | Path]:
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="rnnbench-") as folder:
        yield folder
