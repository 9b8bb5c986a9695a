"""Rules that say whether a published result came out; each is written down before its trials run."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from rnnbench.report.quantities import listed, number, percent
from rnnbench.report.statistics import wilson_interval
from rnnbench.trials import Result

Runs = Mapping[str, Sequence[Result]]
"""What each arm came to, seed by seed."""
CLEARLY = 0.8
"""From this probability on, that a run of one arm beats a run of another, the other is said to be worse."""


@dataclass(frozen=True)
class Finding:
    """Whether a rule holds, and the numbers that it looked at."""

    holds: bool
    numbers: str


@dataclass(frozen=True)
class Rule:
    """One expectation: ``says`` it in words, ``judge`` holds it against the runs."""

    says: str
    judge: Callable[[Runs], Finding]


def solve(*arms: str) -> Rule:
    """Most seeds of each arm solve the task within the budget."""
    return Rule(
        f"{listed(list(arms))}: most seeds solve it",
        lambda runs: Finding(all(2 * _solved(runs[arm]) > len(runs[arm]) for arm in arms), _counts(runs, arms)),
    )


def fail(*arms: str) -> Rule:
    """No seed of any arm solves the task within the budget."""
    return Rule(
        f"{listed(list(arms))}: no seed solves it",
        lambda runs: Finding(not any(_solved(runs[arm]) for arm in arms), _counts(runs, arms)),
    )


def near_chance(arm: str, within: float) -> Rule:
    """The arm's median test loss is the loss of blind guessing, to within a share of it."""

    def judge(runs: Runs) -> Finding:
        loss, chance = _median_loss(runs[arm]), runs[arm][0].chance
        return Finding(abs(loss - chance) <= within * chance, _losses(arm, runs[arm]))

    return Rule(f"{arm}: median loss within {within:.0%} of blind guessing", judge)


def below_chance(arm: str, share: float) -> Rule:
    """The arm's median test loss is below a share of that of blind guessing."""

    def judge(runs: Runs) -> Finding:
        loss, chance = _median_loss(runs[arm]), runs[arm][0].chance
        return Finding(loss < share * chance, _losses(arm, runs[arm]))

    return Rule(f"{arm}: median loss below {share:.0%} of blind guessing", judge)


def worse(arm: str, than: str, by: str = "score") -> Rule:
    """A run of ``than`` beats one of ``arm`` with a probability of at least CLEARLY; see ``probability_better``."""

    def judge(runs: Runs) -> Finding:
        chance = probability_better(runs[than], runs[arm], by)
        return Finding(chance >= CLEARLY, _beats(than, arm, chance))

    return Rule(f"{than} beats {arm} in {_WORDS[by]} with a probability of at least {CLEARLY}", judge)


def not_worse(arm: str, than: str, by: str = "score") -> Rule:
    """The opposite of ``worse``."""

    def judge(runs: Runs) -> Finding:
        chance = probability_better(runs[than], runs[arm], by)
        return Finding(chance < CLEARLY, _beats(than, arm, chance))

    return Rule(f"{than} beats {arm} in {_WORDS[by]} with a probability below {CLEARLY}", judge)


def ranked(order: Sequence[str], at_least: float) -> Rule:
    """Kendall's rank correlation of the arms' median scores with an order, worst first, is at least so large."""

    def judge(runs: Runs) -> Finding:
        scores = {arm: statistics.median(run.score for run in runs[arm]) for arm in order}
        tau = kendall([scores[arm] for arm in order])
        ours = sorted(order, key=lambda arm: scores[arm])
        told = " < ".join(f"{arm} {number(scores[arm])}" for arm in ours)
        return Finding(tau >= at_least, f"rank correlation {tau:.2f}: {told}")

    return Rule(f"{' < '.join(order)} in median score: a rank correlation of at least {at_least}", judge)


_WORDS = {"score": "test score", "loss": "test loss", "steps": "steps to solve"}


def probability_better(ours: Sequence[Result], theirs: Sequence[Result], by: str) -> float:
    """Return the probability that a run of ``ours`` is better than one of ``theirs``; equals count half.

    ``by``: "score", "loss" (a diverged run is the worst) or "steps", in which a run that has not solved the task counts
    as later than any that has. Agarwal et al. 2021, arXiv:2108.13264, section 4.3.
    """
    pairs = [(_goodness(one, by), _goodness(other, by)) for one, other in product(ours, theirs)]
    return sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in pairs) / len(pairs)


def _goodness(run: Result, by: str) -> float:
    if by == "score":
        return run.score
    if by == "loss":
        return -run.loss if math.isfinite(run.loss) else -math.inf
    return -math.inf if run.steps_to_solve is None else -float(run.steps_to_solve)


def kendall(values: Sequence[float]) -> float:
    """Return Kendall's tau-a of ``values`` with their places: 1 for an ascending sequence, ties count for nothing."""
    pairs = list(combinations(values, 2))
    return sum((later > earlier) - (later < earlier) for earlier, later in pairs) / len(pairs)


def _solved(runs: Sequence[Result]) -> int:
    return sum(run.solved for run in runs)


def _counts(runs: Runs, arms: Sequence[str]) -> str:
    return f"solved by {listed([f'{arm} {solved_of(runs[arm])}' for arm in arms])}"


def solved_of(runs: Sequence[Result]) -> str:
    """Return how many runs solved their task, with Wilson's 95% interval of the rate: "5 of 5 (57%–100%)"."""
    low, high = wilson_interval(_solved(runs), len(runs))
    return f"{_solved(runs)} of {len(runs)} ({percent(low)}–{percent(high)})"


def _losses(arm: str, runs: Sequence[Result]) -> str:
    return f"{arm} loss {spread([run.loss for run in runs])}, blind guessing {number(runs[0].chance)}"


def spread(values: Sequence[float]) -> str:
    """Return the median and the range of values: "0.167 (0.166–0.168)"."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values):
        return "not finite" if not finite else f"{number(statistics.median(finite))} (not all finite)"
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def _beats(better: str, other: str, probability: float) -> str:
    return f"{better} beats {other} with probability {probability:.2f}"


def _median_loss(runs: Sequence[Result]) -> float:
    return statistics.median(run.loss if math.isfinite(run.loss) else math.inf for run in runs)
