"""What a sweep would train and how long it would take, without training it."""

import math
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.cli.plan import counted
from rnnbench.cli.progress import Stage, clock, stage
from rnnbench.cli.text import console, print_json, print_table, tell

if TYPE_CHECKING:
    from rnnbench.trials import Trial
    from rnnbench.trials.matching import Match
    from rnnbench.trials.plan import Place, Plan
    from rnnbench.trials.search import RateSearch


@dataclass(frozen=True)
class Row:
    """One place of a plan: its first trial to report, how its size was found, and the search for its learning rate."""

    place: "Place"
    trial: "Trial"
    match: "Match | None"
    search: "RateSearch | None"
    params: int

    @property
    def search_text(self) -> str:
        """The search in words: its budget and the length that it is made at."""
        if self.search is None:
            from rnnbench.trials.search import UNTRAINED

            return "takes none" if self.place.cell in UNTRAINED else f"{self.trial.learning_rate:g}"
        settings = self.search.settings
        tried = settings.trials * len(settings.seeds)
        return f"{tried} × {self.search.trial.steps} steps at T={self.search.place.length}"


def preview(
    plan: "Plan", folder: Path, processes: int | None, scheduler: str | None, sample: float | None, as_json: bool
) -> None:
    """Print the trials of a plan, a row for each cell, task and length, and an estimate of the time; keep nothing.

    Step times are measured here and now, a few steps of each distinct shape; sizes that are matched by wall-clock time
    are found anew unless ``folder`` has them. With ``sample`` that share of the trials is trained instead, chosen at
    random, in a store that is thrown away.
    """
    rows = _rows(plan, folder)
    parts = {
        "search": [
            trial
            for search in {row.search.place: row.search for row in rows if row.search is not None}.values()
            for rate in search.spread(search.settings.trials)
            for trial in search.trials(rate)
        ],
        "trials": plan.trials({row.place: row.trial.hidden for row in rows}, {}),
    }
    seconds = _estimates(parts, processes) if sample is None else _sampled(parts, sample, processes, scheduler)
    document = {
        "cells": list(plan.cells),
        "seeds": list(plan.seeds),
        "match": plan.match,
        "search_trials": len(parts["search"]),
        "trials": len(parts["trials"]),
        "sample": sample,
        "seconds": seconds,
        "output": str(folder),
        "rows": [_document(row) for row in rows],
    }
    if as_json:
        print_json(document)
    else:
        _print(plan, rows, document)


def _estimates(parts: "Mapping[str, Sequence[Trial]]", processes: int | None) -> dict[str, float]:
    """Return the seconds that each part takes at most, from a few timed steps of each shape."""
    from rnnbench.trials.cost import estimate, shape_of

    shapes = {shape_of(trial) for trials in parts.values() for trial in trials}
    with stage(console(stderr=True), "measuring", len(shapes)) as progress:

        def measuring(trial: "Trial") -> None:
            progress.step(str(trial))

        return {name: estimate(trials, processes, measuring) for name, trials in parts.items()}


def _sampled(
    parts: "Mapping[str, Sequence[Trial]]", share: float, processes: int | None, scheduler: str | None
) -> dict[str, float]:
    """Return the seconds that each part takes, from training a random share of its trials.

    Raises RnnbenchError where a trial fails: the others would give an estimate of something else.
    """
    from rnnbench.errors import RnnbenchError
    from rnnbench.trials import Event, Store, run_all

    found: dict[str, float] = {}
    for name, trials in parts.items():
        chosen = random.Random(0).sample(list(trials), math.ceil(share * len(trials)))
        with (
            tempfile.TemporaryDirectory() as folder,
            Store(Path(folder) / "results.sqlite") as store,
            stage(console(stderr=True), f"sample of {name}", len(chosen)) as progress,
        ):

            def hear(event: Event, progress: Stage = progress) -> None:
                if event.kind == "finished":
                    progress.step(str(event.trial))

            begun = time.monotonic()
            summary = run_all(chosen, store, processes, scheduler, hear)
            if summary.failed:
                raise RnnbenchError(f"no estimate: trial {summary.failed[0][0]} failed: {summary.failed[0][1]}")
            found[name] = (time.monotonic() - begun) * len(trials) / len(chosen) if chosen else 0.0
    return found


def _rows(plan: "Plan", folder: Path) -> list[Row]:
    from rnnbench.trials.matching import matched
    from rnnbench.trials.models import parameter_count
    from rnnbench.trials.search import planned

    matches = matched(plan, _stored(folder))
    hidden = {place: match.hidden for place, match in matches.items()}
    searches = planned(plan, hidden)
    rows = []
    for place in plan.places():
        size = {"hidden": hidden[place]} if place in hidden else {}
        trial = plan.trial(place, seed=plan.seeds[0], **size)
        rows.append(Row(place, trial, matches.get(place), searches.get(place), parameter_count(trial)))
    return rows


def _stored(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the records of matched sizes that a folder holds, by key."""
    from rnnbench.trials import Store

    path = folder / "results.sqlite"
    if not path.is_file():
        return {}
    with Store(path, read_only=True) as store:
        return {record["key"]: record for record in store.records("match")}


def _document(row: Row) -> dict[str, Any]:
    search = row.search
    return {
        **row.place._asdict(),
        "hidden": row.trial.hidden,
        "params": row.params,
        "miss": None if row.match is None else row.match.miss,
        "steps": row.trial.steps,
        "search": None
        if search is None
        else search.settings.model_dump(mode="json") | {"at": search.place.length, "steps": search.trial.steps},
    }


def _print(plan: "Plan", rows: Sequence[Row], document: Mapping[str, Any]) -> None:
    from rnnbench.trials.controls import UNSIZED

    columns = {"task": False, "T": True, "cell": False, "H": True}
    columns |= {} if plan.match == "hidden" else {f"{plan.match} against {plan.reference}'s": True}
    columns |= {"parameters": True, "learning rate": False, "steps": True}
    print_table(
        f"{counted(document['trials'], 'trial')}: each row with seeds {', '.join(map(str, plan.seeds))}",
        columns,
        [
            (
                row.place.task,
                str(row.place.length),
                row.place.cell,
                "its own" if row.place.cell in UNSIZED else str(row.trial.hidden),
                *([] if plan.match == "hidden" else ["—" if row.match is None else f"{row.match.miss:+.1%}"]),
                f"{row.params:,}",
                row.search_text,
                str(row.trial.steps),
            )
            for row in rows
        ],
    )
    seconds = document["seconds"]
    from_what = "step times measured now" if document["sample"] is None else f"{document['sample']:.0%} of the trials"
    tell(
        console(),
        f"{'At most' if document['sample'] is None else 'About'} {clock(sum(seconds.values()))}, from {from_what}: "
        f"the search of {counted(document['search_trials'], 'trial')} {clock(seconds['search'])} and the "
        f"{counted(document['trials'], 'trial')} to report {clock(seconds['trials'])}. "
        f"{'A trial that is solved ends earlier. ' if document['sample'] is None else ''}"
        f"Results would go to {document['output']}; nothing was written.",
    )
