"""Which of two cells comes out better, whether that is real at the given seeds, and how many seeds would show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from rnnbench.report import frames
from rnnbench.report.across_tasks import Runs, Stratum, numbers, order_of_merit
from rnnbench.report.aggregates import Estimate, probability_of_improvement
from rnnbench.report.significance import holm, rank_sum_test, seeds_needed

LEVEL = 0.05
"""Below which a corrected p-value counts as a real difference."""
POWER = 0.8
"""In how many repetitions the number of seeds that is named would show a difference of the size seen."""


@dataclass(frozen=True)
class Difference:
    """Two cells on the same tasks, lengths and seeds, the one that came out better first.

    ``wins``: probability that a run of ``better`` comes out better than one of ``worse``, with its interval. ``p``: of
    the rank-sum test; ``corrected``: for the number of ``tests`` made together (Holm). ``seeds``: that both have.
    ``needed``: seeds that would show a difference of this size (None: over 1,000, or nothing to go by).
    """

    better: str
    worse: str
    wins: Estimate
    p: float
    corrected: float
    tests: int
    seeds: int
    needed: int | None

    @property
    def real(self) -> bool:
        """Whether chance alone is no explanation at the given seeds."""
        return self.corrected <= LEVEL

    @property
    def more(self) -> int | None:
        """Seeds that are missing to show it: 0 where it is real, None where no number up to 1,000 would."""
        return 0 if self.real else None if self.needed is None else max(1, self.needed - self.seeds)


def differences(runs: Runs, baseline: str | None = None) -> list[Difference]:
    """Return every pair of cells, or each cell with ``baseline``, in the order of merit.

    ``runs``: see ``paired``. The level that the missing seeds are worked out for is the one that Holm's correction
    holds the next pair to.
    """
    order = order_of_merit(runs)
    pairs = [pair for pair in combinations(order, 2) if baseline is None or baseline in pair]
    outcomes = {cell: numbers(runs[cell], "outcome") for cell in order}
    p_values = [rank_sum_test(outcomes[first], outcomes[second]) for first, second in pairs]
    corrected = holm(p_values)
    still_open = sum(value > LEVEL for value in corrected)
    seeds = min(len(stratum) for stratum in runs[order[0]].values())
    found = []
    for (first, second), p, value in zip(pairs, p_values, corrected, strict=True):
        wins = probability_of_improvement(outcomes[first], outcomes[second])
        # Of three cells the first may still win fewer of its pairs with the second.
        if wins.value < 0.5:
            first, second, wins = second, first, Estimate(1 - wins.value, 1 - wins.high, 1 - wins.low)
        needed = seeds_needed(outcomes[first], outcomes[second], LEVEL / max(1, still_open), POWER)
        found.append(Difference(first, second, wins, p, value, len(pairs), seeds, needed))
    return found


def paired(runs: Runs) -> Runs:
    """Return the runs of those seeds that every cell has at a task and length, in the order of seeds.

    Tasks and lengths without such a seed are left out; empty where none is left.
    """
    strata = list(next(iter(runs.values()), {}))
    kept: dict[str, dict[Stratum, Sequence[frames.Row]]] = {cell: {} for cell in runs}
    for stratum in strata:
        by_seed = {cell: {run["seed"]: run for run in held[stratum]} for cell, held in runs.items()}
        seeds = sorted(set.intersection(*(set(held) for held in by_seed.values())))
        if seeds:
            for cell, held in by_seed.items():
                kept[cell][stratum] = [held[seed] for seed in seeds]
    return kept if any(kept.values()) else {}


def left_out(before: Runs, after: Runs) -> Mapping[str, int]:
    """Return the cells that lost runs by ``paired``, each with how many."""
    counts = {cell: sum(map(len, held.values())) for cell, held in before.items()}
    kept = {cell: sum(map(len, held.values())) for cell, held in after.items()}
    return {cell: count - kept.get(cell, 0) for cell, count in counts.items() if count > kept.get(cell, 0)}
