"""Matching: the hidden size at which a cell has as many parameters, as large a state or as long a step as another.

At equal hidden sizes an LSTM has four times the parameters of a tanh RNN. What is fair depends on what is scarce, so a
sweep can match any of three: the parameters of the whole model, the numbers carried from step to step, or the time of
a training step.
"""

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.controls import CONTROLS, UNSIZED
from rnnbench.trials.models import parameter_count, state_size
from rnnbench.trials.plan import Place, Plan
from rnnbench.trials.result import now
from rnnbench.trials.run import begin, on_one_thread
from rnnbench.trials.store import SCHEMA, Store
from rnnbench.trials.training import Training
from rnnbench.trials.trial import Trial

LARGEST = 1 << 15
"""No hidden size above this is tried."""
GRAINS = range(1, 65)
"""Heads divide H: a cell's sizes are the multiples of the smallest of these that it takes."""
ROUNDS = (15, 100)
"""Samples of a training step of each of the two that take turns, at least and at most."""
ROUNDS_SECONDS = 1.0
"""In between, as many as this time has room for."""
SAMPLE_SECONDS = 5e-4
"""Short: what fits between two interruptions by other programs."""
CLOSE = 0.02
"""A time this near to the target is not looked at more closely: two samples of the same step differ by as much."""

Stored = Mapping[str, Mapping[str, Any]] | Store
QUANTITIES = {
    "parameters": "parameters",
    "state": "numbers carried from step to step",
    "wall-clock": "times the reference's step time",
}


@dataclass(frozen=True)
class Match:
    """The hidden size found for one place; ``key`` is that of its record.

    ``target``: the quantity of the reference, in parameters, in numbers of state, or 1 for a step's time; ``reached``:
    that of the cell at ``hidden`` (a time is its ratio to the reference's, from ``samples``: H -> seconds of its steps
    and of the reference's, taken in turns).
    """

    place: Place
    key: str
    by: str
    reference: str
    target: float
    reached: float
    hidden: int
    samples: dict[int, list[list[float]]] = field(default_factory=dict)

    @property
    def miss(self) -> float:
        """How far from the target, relative to it; below 0 is smaller."""
        return self.reached / self.target - 1


def matched(plan: Plan, stored: Stored, on_match: Callable[[Match], None] | None = None) -> dict[Place, Match]:
    """Return the match of every place of a plan whose size is matched; ``Match.hidden`` is its H.

    ``stored``: what gives a record by its key, or None; a match that is there stays as it is, so that a sweep that
    resumes trains what it began with. ``on_match``: told each new one.
    Times are those of a task's middle length, and hold for all its lengths; all else is matched at each length. The
    control ``random_guess`` keeps its own size: it is not trained. Raises RnnbenchError where no size comes within the
    plan's ``tolerance``, and for a control where the size of states is matched.
    """
    found: dict[Place, Match] = {}
    for place, at in match_places(plan).items():
        if at not in found:
            record = stored.get(match_key(plan, at))
            found[at] = match(plan, at) if record is None else match_of(record)
            if record is None and on_match is not None:
                on_match(found[at])
        found[place] = found[at]
    return {place: found[place] for place in match_places(plan)}


def match_places(plan: Plan) -> dict[Place, Place]:
    """Return where each place of a plan is matched: of times, at its task's middle length. See ``matched``."""
    if plan.match == "hidden":
        return {}
    sized = [place for place in plan.places() if place.cell not in UNSIZED]
    if plan.match != "wall-clock":
        return {place: place for place in sized}
    return {place: place._replace(length=plan.middle_length(place.task)) for place in sized}


def match(plan: Plan, place: Place) -> Match:
    """Return the hidden size that brings the cell of ``place`` nearest to the plan's reference; nothing is stored.

    Raises RnnbenchError where that is further away than the plan's ``tolerance``.
    """
    if plan.match == "state" and place.cell in CONTROLS:
        raise RnnbenchError(
            f"{place.cell} is a control and has no state: leave it out, or match by 'hidden', 'parameters' or "
            "'wall-clock'"
        )
    reference = plan.trial(place._replace(cell=plan.reference))

    def at(hidden: int) -> Trial:
        return plan.trial(place, hidden=hidden)

    clock = _Clock(reference) if plan.match == "wall-clock" else None
    count = parameter_count if plan.match == "parameters" else state_size
    target = float(count(reference)) if clock is None else 1.0

    def quantity(hidden: int) -> float:
        return count(at(hidden)) if clock is None else clock.ratio(at(hidden))

    start = reference.hidden
    if at(start) == reference:
        hidden, reached = start, target  # by definition: nothing is measured
    else:
        hidden, reached = nearest(quantity, target, start, _grain(at), 0.0 if clock is None else CLOSE)
    samples = {} if clock is None else clock.samples
    found = Match(place, match_key(plan, place), plan.match, plan.reference, target, reached, hidden, samples)
    if abs(found.miss) > plan.tolerance:
        raise RnnbenchError(
            f"{place.cell} cannot be matched by {plan.match} to {plan.reference} with H={start} on {place.task}: at "
            f"best, with H={hidden}, it has {_told(reached, plan.match)} where {_told(target, plan.match)} are wanted, "
            f"{found.miss:+.0%}, and the plan's tolerance is {plan.tolerance:.0%}"
        )
    return found


def nearest(
    quantity: Callable[[int], float], target: float, start: int, grain: int = 1, close: float = 0.0
) -> tuple[int, float]:
    """Return the multiple of ``grain`` whose ``quantity`` is nearest to ``target``, and that quantity.

    ``quantity`` grows with its argument, up to small bumps. The search goes outwards from ``start`` by doubling and
    then halves the bracket; it stops early at a value within ``close`` of the target, relative to it.
    """
    tried: dict[int, float] = {}

    def above(steps: int) -> bool:
        if steps not in tried:
            tried[steps] = quantity(steps * grain)
        return tried[steps] >= target

    def good() -> bool:
        return min(abs(value - target) for value in tried.values()) <= close * target

    low = high = max(1, round(start / grain))
    if above(high):
        while above(low) and low > 1 and not good():
            high, low = low, low // 2
    else:
        while not above(high) and 2 * high * grain <= LARGEST:
            low, high = high, 2 * high
    while high - low > 1 and above(high) and not good():
        middle = (low + high) // 2
        low, high = (low, middle) if above(middle) else (middle, high)
    best = min(tried, key=lambda steps: (abs(tried[steps] - target), steps))
    return best * grain, tried[best]


def _grain(at: Callable[[int], Trial]) -> int:
    """Return the smallest number whose multiples are hidden sizes that the cell takes."""
    if at(1).cell in CONTROLS:
        return 1
    found = next((grain for grain in GRAINS if all(_takes(at(times * grain)) for times in (1, 2, 3))), None)
    if found is None:
        raise RnnbenchError(f"{at(1).cell} takes the multiples of no hidden size up to {GRAINS[-1]}: it has no match")
    return found


def _takes(trial: Trial) -> bool:
    """Return whether a cell takes a trial's size: between them, both counts know of all that must divide H."""
    try:
        state_size(trial)
        parameter_count(trial)
    except RnnbenchError:
        return False
    return True


def _told(value: float, by: str) -> str:
    return f"{value:.3g} {QUANTITIES[by]}" if by == "wall-clock" else f"{value:,.0f} {QUANTITIES[by]}"


class _Clock:
    """Times training steps of a trial against those of a reference, in turns in this process, each on one thread.

    In turns, because a machine that slows down then slows both; in one process, because neither has threads that go on
    spinning.
    """

    def __init__(self, reference: Trial):
        with on_one_thread():
            self._reference = begin(reference)
        self.samples: dict[int, list[list[float]]] = {}

    def ratio(self, trial: Trial) -> float:
        """Return the time of the trial's step over that of the reference's.

        Of each the fastest tenth stands for all: other programs make a step longer, never shorter.
        """
        with on_one_thread():
            sides = (begin(trial), self._reference)
            calls, pair = [], 0.0
            for side in sides:
                fastest = min(_seconds(side, 1) for _ in range(3))
                calls.append(max(1, math.ceil(SAMPLE_SECONDS / fastest)))
                pair += calls[-1] * fastest
            fewest, most = ROUNDS
            taken: list[list[float]] = [[], []]
            for _ in range(max(fewest, min(most, math.ceil(ROUNDS_SECONDS / pair)))):
                for samples, side, count in zip(taken, sides, calls, strict=True):
                    samples.append(float(f"{_seconds(side, count):.4g}"))
        self.samples[trial.hidden] = taken
        own, other = (statistics.quantiles(samples, n=10)[0] for samples in taken)
        return own / other


def _seconds(training: Training, steps: int) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        training.step()
    return (time.perf_counter() - begun) / steps


def match_key(plan: Plan, place: Place) -> str:
    """Return the key of a match's record: SHA-256 of both sides' trials, equations among them, and how they compare."""
    trials = [plan.trial(place, hidden=1), plan.trial(place._replace(cell=plan.reference))]
    asked = {"schema": SCHEMA, "kind": "match", "by": plan.match, "trials": [_without_budget(one) for one in trials]}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _without_budget(trial: Trial) -> str:
    """Return the key of a trial as it would be with any seed, rate and budget: they change no size."""
    kept: dict[str, Any] = {"seed": 0, "steps": 1, "warmup": 0, "learning_rate": 1e-3, "evaluate_every": 1}
    return Trial(**(trial.model_dump() | kept)).key


def to_record(found: Match) -> dict[str, Any]:
    """Return a match as a record of kind "match", with all samples of its times."""
    return {
        "schema": SCHEMA,
        "kind": "match",
        "key": found.key,
        "created": now(),
        **found.place._asdict(),
        "by": found.by,
        "reference": found.reference,
        "target": found.target,
        "reached": found.reached,
        "hidden": found.hidden,
        "miss": found.miss,
        "samples": {str(hidden): taken for hidden, taken in found.samples.items()},
    }


def match_of(record: Mapping[str, Any]) -> Match:
    """Return the match that a record of kind "match" holds."""
    samples = {int(hidden): taken for hidden, taken in record["samples"].items()}
    place = Place(record["cell"], record["task"], record["length"])
    said = {name: record[name] for name in ("key", "by", "reference", "target", "reached", "hidden")}
    return Match(place=place, samples=samples, **said)
