"""The search for a learning rate: as many trials of as many steps for every cell on every task, by optuna.

All searches go on in rounds. In each, every search proposes its next rates, the trials of all of them are run as one
list, and every search is told its results in the order of its proposals. So the outcome depends neither on the number
of processes nor on which of them is faster, and a search that was killed proposes the same rates again and finds their
trials in the store.
"""

import hashlib
import json
import math
import statistics
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnbench.trials.plan import LEARNING_RATE, Place, Plan, Search
from rnnbench.trials.result import now
from rnnbench.trials.store import SCHEMA, Store
from rnnbench.trials.trial import Trial

if TYPE_CHECKING:
    import optuna

UNTRAINED = frozenset({"random_guess"})
"""Controls that take no gradient steps: a learning rate means nothing to them."""

Run = Callable[[list[Trial]], None]
"""Trains those trials that the store does not hold, and stores each as it ends."""


class RateSearch:
    """One search: proposes learning rates for ``trial``, whose own rate does not matter, and is told what they gave.

    ``place``: the cell, task and length that it is made at. ``tried``: (rate, how bad it was) in the order of proposal.
    """

    def __init__(self, place: Place, trial: Trial, settings: Search):
        self.place, self.settings = place, settings
        self.trial = for_search(trial, settings)
        self.tried: list[tuple[float, float]] = []
        self._sizes = round_sizes(settings)
        self._study = _new_study(settings, _sampler_seed(trial))
        self._asked: list[tuple[optuna.Trial, float]] = []

    @property
    def key(self) -> str:
        """SHA-256 of all that decides the outcome, but for the version of optuna: others may propose other rates."""
        asked = {"schema": SCHEMA, "kind": "search", "settings": self.settings.model_dump()}
        asked["trials"] = [trial.key for trial in self.trials(self.settings.low)]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def propose(self) -> list[float]:
        """Return the rates of the next round, to three digits; none once the budget is used up.

        Those of the first round are spread evenly over the logarithm of the range, the same for every cell.
        """
        if not self.tried:
            for rate in self.spread(self._sizes[0]):
                self._study.enqueue_trial({LEARNING_RATE: rate})
        asked = [self._study.ask() for _ in range(self._sizes.pop(0) if self._sizes else 0)]
        low, high = self.settings.low, self.settings.high
        rates = [float(f"{one.suggest_float(LEARNING_RATE, low, high, log=True):.3g}") for one in asked]
        self._asked = list(zip(asked, rates, strict=True))
        return rates

    def spread(self, count: int) -> list[float]:
        """Return ``count`` rates spread evenly over the logarithm of the range, its ends among them."""
        return np.geomspace(self.settings.low, self.settings.high, count).tolist()

    def trials(self, rate: float) -> list[Trial]:
        """Return the trials that say how good a rate is, one for each seed of the search."""
        changes: list[dict[str, Any]] = [{LEARNING_RATE: rate, "seed": seed} for seed in self.settings.seeds]
        return [Trial(**(self.trial.model_dump() | changed)) for changed in changes]

    def tell(self, values: list[float]) -> None:
        """Take how bad each rate of the last round was, in the order of ``propose``; infinity is an outcome too."""
        for (asked, rate), value in zip(self._asked, values, strict=True):
            self._study.tell(asked, value)
            self.tried.append((rate, value))

    @property
    def best(self) -> float:
        """The best rate so far; of equally good ones that in the middle, which lies furthest from those that fail."""
        lowest = min(value for _, value in self.tried)
        return statistics.median_low(rate for rate, value in self.tried if value == lowest)

    def to_record(self) -> dict[str, Any]:
        """Return the record of kind "search": what was asked, all rates with their values, and the one chosen."""
        return {
            "schema": SCHEMA,
            "kind": "search",
            "key": self.key,
            "created": now(),
            **self.place._asdict(),
            "hidden": self.trial.hidden,
            "steps": self.trial.steps,
            "settings": self.settings.model_dump(mode="json"),
            "tried": [[rate, value if math.isfinite(value) else None] for rate, value in self.tried],
            LEARNING_RATE: self.best,
        }


def search_rates(
    plan: Plan, hidden: Mapping[Place, int], store: Store, run: Run
) -> tuple[dict[Place, float], list[Place]]:
    """Return the learning rate of every place of a plan, and the places that have none since a trial failed.

    ``hidden``: H where it is not that of the settings. A record of kind "search" is stored for each search that ends;
    one that the store holds is not made again. No rates without a search in the plan.
    """
    if plan.search is None:
        return {}, []
    searches = planned(plan, hidden)
    made = {search.place: search for search in searches.values()}
    records = {at: store.get(search.key) for at, search in made.items()}
    open_ones = [search for at, search in made.items() if records[at] is None]
    while open_ones:
        proposed = {search.place: search.propose() for search in open_ones}
        for search in [one for one in open_ones if not proposed[one.place]]:
            store.add(search.to_record())
            records[search.place] = search.to_record()
        open_ones = [search for search in open_ones if proposed[search.place]]
        run([trial for search in open_ones for rate in proposed[search.place] for trial in search.trials(rate)])
        open_ones = [search for search in open_ones if _told(search, proposed[search.place], store)]
    rates, without = {}, []
    for place, search in searches.items():
        record = records[search.place]
        if record is None:
            without.append(place)
        else:
            rates[place] = record[LEARNING_RATE]
    return rates, without


def for_search(trial: Trial, settings: Search) -> Trial:
    """Return ``trial`` as a search trains it: with the search's budget, and apart from what is reported."""
    changed: dict[str, Any] = {"purpose": "search"}
    if settings.steps is not None:
        changed["steps"] = settings.steps
    return Trial(**(trial.model_dump() | changed))


def planned(plan: Plan, hidden: Mapping[Place, int]) -> dict[Place, RateSearch]:
    """Return the search that serves each place: one for all lengths of a cell on a task, unless the plan says "each".

    What is not trained by gradients has none.
    """
    settings = plan.search
    if settings is None:
        return {}
    made: dict[Place, RateSearch] = {}
    found: dict[Place, RateSearch] = {}
    for place in plan.places():
        if place.cell in UNTRAINED:
            continue
        at = place._replace(length=_length(plan, place, settings))
        if at not in made:
            size = {"hidden": hidden[at]} if at in hidden else {}
            made[at] = RateSearch(at, plan.trial(at, **size), settings)
        found[place] = made[at]
    return found


def round_sizes(settings: Search) -> list[int]:
    """Return how many rates are tried in each round: equally many, the first rounds taking what is left over."""
    whole, left = divmod(settings.trials, settings.rounds)
    return [whole + (turn < left) for turn in range(settings.rounds)]


def badness(record: Mapping[str, Any]) -> float:
    """Return how bad a trial came out, from its validation alone: the test split is for reporting.

    Between -1 and 0 if it was solved, the steps that it took as a share of the budget, less 1; else the validation
    loss at the end; infinity if it diverged. So whatever solves a task is better than whatever does not.
    """
    if record["solved"]:
        return record["steps_to_solve"] / record["trial"]["steps"] - 1
    if record["diverged"] or not record["validation"]:
        return math.inf
    loss = record["validation"][-1][1]
    return math.inf if loss is None else loss


def _told(search: RateSearch, rates: list[float], store: Store) -> bool:
    """Tell a search how its last round went; False where a trial has failed, so that it cannot go on."""
    found = [[store.get(trial.key) for trial in search.trials(rate)] for rate in rates]
    complete = [[record for record in records if record is not None] for records in found]
    if complete != found:
        return False
    search.tell([statistics.fmean(badness(record) for record in records) for records in complete])
    return True


def _length(plan: Plan, place: Place, settings: Search) -> int:
    lengths = plan.lengths_of(place.task)
    if settings.length == "each":
        return place.length
    return {"shortest": min(lengths), "median": plan.middle_length(place.task), "longest": max(lengths)}[
        settings.length
    ]


def _sampler_seed(trial: Trial) -> int:
    """Return the seed of a search's proposals: the same for all cells on a task at a length."""
    text = json.dumps([trial.task, trial.length, trial.task_options], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _new_study(settings: Search, seed: int) -> "optuna.Study":
    import optuna

    # A study's own words would stand between the lines of progress.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # constant_liar keeps the proposals of one round apart; it is marked as experimental. gamma: of so few rates the
        # best two say where to go on. With optuna's own share, one, the later rounds found less than rates that were
        # merely spread out, on convex curves with their best at random. It is to go in optuna 6, and so pinned below.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="`gamma` has been deprecated", category=FutureWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=round_sizes(settings)[0],
            gamma=lambda told: max(1, min(2, told // 2)),
            seed=seed,
            constant_liar=True,
        )
    return optuna.create_study(sampler=sampler, direction="minimize")
