"""The horizon of a cell on a task: the longest length that it still solves within a budget.

Lengths are doubled until one is not solved, and the gap is then halved. A search proposes its next trials from the
outcomes so far and from nothing else, so it comes to the same answer with any number of processes, on any scheduler,
and after a kill.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rnnbench.errors import RnnbenchError, positive
from rnnbench.tasks import get_task, task_class
from rnnbench.trials.result import now
from rnnbench.trials.store import SCHEMA, Store
from rnnbench.trials.trial import Trial

KIND = "horizon"
REVISION = 1
"""Raise it when the search changes, so that its earlier answers are told apart."""
START = 16
LONGEST = 1000
PRECISION = 0.125

Outcomes = dict[int, dict[int, bool]]
"""Length -> seed -> whether that trial solved its task."""
Run = Callable[[Sequence[Trial]], Iterable[tuple[Trial, str]]]
"""Runs trials, adds their records to the store, and returns those that came to nothing with the reason."""


@dataclass(frozen=True)
class Search:
    """The search for one horizon.

    ``shortest``, ``longest``: the limits between which lengths are tried, in the unit of the task's ``length``.
    ``start``: the first length. ``precision``: the search ends when the gap between a solved and an unsolved length is
    at most this share of the solved one. ``settings``: other fields of Trial (hidden, steps, ...).
    """

    cell: str
    task: str
    seeds: tuple[int, ...]
    shortest: int
    start: int
    longest: int
    precision: float
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def trial(self, length: int, seed: int) -> Trial:
        """Return the trial of one length and seed."""
        about = {"cell": self.cell, "task": self.task, "length": length, "seed": seed, "purpose": "horizon"}
        return Trial(**(dict(self.settings) | about))

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that decides the answer."""
        first = self.trial(self.start, self.seeds[0]).key
        asked = (REVISION, first, self.seeds, self.shortest, self.start, self.longest, self.precision)
        return hashlib.sha256(json.dumps([KIND, *asked]).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.cell} on {self.task}"


@dataclass(frozen=True)
class Interval:
    """What the lengths decided so far say of a horizon.

    ``solved``: the longest length that is solved together with every shorter one tried (None: not even the shortest
    tried). ``unsolved``: the shortest that is not (None: all are). ``again``: longer ones that are solved all the same.
    """

    solved: int | None
    unsolved: int | None
    again: tuple[int, ...]


def make_searches(
    cells: Iterable[str],
    tasks: Iterable[str],
    seeds: Sequence[int] = (0, 1, 2),
    start: int = START,
    longest: int = LONGEST,
    precision: float = PRECISION,
    settings: Mapping[str, Any] | None = None,
) -> list[Search]:
    """Return a search for each cell and task, every argument checked; arguments as in Search.

    ``longest`` gives way where a task takes no sequence as long; ``start`` is moved between the limits.
    Raises RnnbenchError for an unknown cell or task, for a task in which a longer sequence asks for no longer memory,
    for a limit that leaves no length, and for settings that are no fields of a trial.
    """
    positive("start", start)
    positive("longest", longest)
    if not (math.isfinite(precision) and 0 < precision < 1):
        raise RnnbenchError(f"precision must lie between 0 and 1, got {precision!r}")
    if not seeds:
        raise RnnbenchError("a horizon needs at least one seed")
    searches = []
    for task in dict.fromkeys(tasks):
        least, most = length_limits(task, longest)
        first = min(max(start, least), most)
        for cell in dict.fromkeys(cells):
            search = Search(cell, task, tuple(seeds), least, first, most, precision, dict(settings or {}))
            search.trial(first, search.seeds[0])
            searches.append(search)
    return searches


def length_limits(task: str, longest: int) -> tuple[int, int]:
    """Return the shortest length that ``task`` takes, and the longest up to ``longest``.

    The task itself says what it takes: its least length may depend on its options, the greatest on the user's file.
    Raises RnnbenchError for a task without a horizon, and where the shortest is above ``longest``.
    """
    made = get_task(task)
    if made.fixed_length or not task_class(task).longer_is_harder:
        why = "its length is fixed" if made.fixed_length else "a longer sequence asks for no longer memory"
        raise RnnbenchError(f"task {task!r} has no horizon: {why}")

    def takes(length: int) -> bool:
        try:
            get_task(task, length)
        except RnnbenchError:
            return False
        return True

    shortest = _edge(made.length, made.minimum_length - 1, takes)
    if longest < shortest:
        raise RnnbenchError(f"task {task!r} needs a length of at least {shortest}, got a longest of {longest}")
    if takes(longest):
        return shortest, longest
    return shortest, _edge(shortest, longest, takes)


def _edge(good: int, bad: int, takes: Callable[[int], bool]) -> int:
    """Return the last number from ``good`` towards ``bad`` that ``takes`` accepts; it refuses ``bad``."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if takes(middle) else (good, middle)
    return good


def decision(runs: Mapping[int, bool], seeds: int) -> bool | None:
    """Return whether most of ``seeds`` solve a length, from the ``runs`` so far; None while they leave it open."""
    solved = sum(runs.values())
    if 2 * solved > seeds:
        return True
    return False if 2 * (len(runs) - solved) >= seeds else None


def interval(decided: Mapping[int, bool]) -> Interval:
    """Return the interval that the decided lengths leave for the horizon."""
    unsolved = min((length for length, solved in decided.items() if not solved), default=None)
    solved = [length for length, one in decided.items() if one]
    if unsolved is None:
        return Interval(max(solved, default=None), None, ())
    below = [length for length in solved if length < unsolved]
    return Interval(max(below, default=None), unsolved, tuple(sorted(set(solved) - set(below))))


def next_length(search: Search, decided: Mapping[int, bool]) -> int | None:
    """Return the length to try next, or None when the search is over.

    Doubling from the start, or halving from it where it is not solved already; then bisection. At the end one look at
    twice the unsolved length, unless it was tried: whether a cell that fails there solves a longer one after all.
    """
    if not decided:
        return search.start
    found = interval(decided)
    if found.unsolved is None:
        top = max(decided)
        return None if top >= search.longest else min(2 * top, search.longest)
    if found.solved is None:
        if found.unsolved > search.shortest:
            return max(found.unsolved // 2, search.shortest)
    elif found.unsolved - found.solved > max(1, math.floor(search.precision * found.solved)):
        return (found.solved + found.unsolved) // 2
    beyond = min(2 * found.unsolved, search.longest)
    return beyond if max(decided) < beyond else None


def next_trials(search: Search, outcomes: Outcomes) -> list[tuple[int, int]]:
    """Return the (length, seed) to run next, none when the search is over.

    Of one length, as many seeds as could settle it: where the first agree, the others cannot change it.
    """
    count = len(search.seeds)
    decided = _decided(search, outcomes)
    length = next((one for one in outcomes if one not in decided), None) or next_length(search, decided)
    if length is None:
        return []
    runs = outcomes.get(length, {})
    solved = sum(runs.values())
    needed = min(count // 2 + 1 - solved, (count + 1) // 2 - (len(runs) - solved))
    return [(length, seed) for seed in search.seeds if seed not in runs][:needed]


def _decided(search: Search, outcomes: Outcomes) -> dict[int, bool]:
    found = {length: decision(runs, len(search.seeds)) for length, runs in outcomes.items()}
    return {length: solved for length, solved in found.items() if solved is not None}


def find_horizons(
    searches: Sequence[Search],
    store: Store,
    run: Run,
    where: Mapping[str, Any] | None = None,
    on_found: Callable[[Search], None] | None = None,
) -> list[str]:
    """Find each horizon, add its record (of kind "horizon") to ``store``, and return a sentence for each that failed.

    In every round each search that is not over proposes its next trials; those that the store lacks go to ``run`` as
    one list. A search one of whose trials came to nothing ends without a record; the same call tries it again.
    ``where``: facts on the machine, for the records. ``on_found``: called for every search that ends with a record.
    """
    failures: list[str] = []
    outcomes: dict[str, Outcomes] = {search.key: {} for search in searches}
    records: dict[str, dict[tuple[int, int], dict[str, Any]]] = {search.key: {} for search in searches}
    searching = [search for search in searches if search.key not in store]
    while searching:
        asked = {search.key: next_trials(search, outcomes[search.key]) for search in searching}
        for search in searching:
            if not asked[search.key]:
                store.add(_record(search, outcomes[search.key], records[search.key], dict(where or {})))
                if on_found is not None:
                    on_found(search)
        searching = [search for search in searching if asked[search.key]]
        trials = [search.trial(length, seed) for search in searching for length, seed in asked[search.key]]
        missing = [trial for trial in trials if trial.key not in store]
        reasons = {trial.key: reason for trial, reason in run(missing)} if missing else {}
        for search in list(searching):
            for length, seed in asked[search.key]:
                key = search.trial(length, seed).key
                record = store.get(key)
                if record is None:
                    failures.append(f"no horizon of {search}: T={length}, seed {seed}: {reasons.get(key, 'not run')}")
                    searching.remove(search)
                    break
                records[search.key][length, seed] = record
                outcomes[search.key].setdefault(length, {})[seed] = bool(record["solved"])
    return failures


def _record(
    search: Search,
    outcomes: Outcomes,
    records: Mapping[tuple[int, int], Mapping[str, Any]],
    where: dict[str, Any],
) -> dict[str, Any]:
    decided = _decided(search, outcomes)
    found = interval(decided)
    trial = search.trial(search.start, search.seeds[0]).model_dump()
    lengths = []
    for length in sorted(decided):
        runs = [records[length, seed] for seed in search.seeds if (length, seed) in records]
        steps = [run["steps_to_solve"] for run in runs if run["solved"]]
        lengths.append(
            {
                "length": length,
                "solved": decided[length],
                "runs": len(runs),
                "runs_solved": len(steps),
                "diverged": sum(bool(run["diverged"]) for run in runs),
                "steps_to_solve": steps,
                "scores": [run["score"] for run in runs],
            }
        )
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "key": search.key,
        "cell": search.cell,
        "task": search.task,
        "horizon": found.solved,
        "unsolved": found.unsolved,
        "again": list(found.again),
        "shortest": search.shortest,
        "start": search.start,
        "longest": search.longest,
        "precision": search.precision,
        "seeds": list(search.seeds),
        "lengths": lengths,
        "settings": {name: value for name, value in trial.items() if name not in _NOT_SETTINGS},
        "created": now(),
        "where": where,
    }


_NOT_SETTINGS = ("cell", "task", "length", "seed", "purpose")
