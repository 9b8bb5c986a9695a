"""From samples of two commits to a verdict: what is slower, larger or less accurate, and what is only noise.

The unit is the process, not the sample: samples of one process share its memory layout and its luck, so a process is
one observation, its shortest sample. Three things stand between noise and a verdict.

1. *The machine's drift is divided out*: by the reference workload that is timed right before each sample, with the
   exponent that fits best between 0 (it says nothing about this benchmark) and 1; and by the round, whose two processes
   took turns and so saw the same minute.
2. *A rank test* at a level that holds for all benchmarks of the run together (Holm). Ranks do not care how far off a
   disturbed process is. Mann-Whitney's compares the processes of both sides, the reference divided out; of times also
   Wilcoxon's signed ranks compare the two processes of each round. The first needs few rounds where the reference
   explains the drift, the second needs no reference to explain it: the clearer of the two counts, at twice its
   probability.
3. *A smallest change that counts*: the shift of Hodges and Lehmann must reach it.

A benchmark can be cleared early but is only accused in the end, on a number of rounds that was fixed before: so looking
between rounds costs no false alarm.

Sources: Mann & Whitney 1947, doi:10.1214/aoms/1177730491; Wilcoxon 1945, doi:10.2307/3001968; Hodges & Lehmann
1963, doi:10.1214/aoms/1177704172; Holm 1979, Scandinavian Journal of Statistics 6:65.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.regression.series import Benchmark, Sample, Series

UNCHANGED, REGRESSION, IMPROVEMENT = "unchanged", "regression", "improvement"
FAILED, SKIPPED, NEW = "failed", "skipped", "no baseline"
FEWEST_POINTS = 5


@dataclass(frozen=True)
class Rules:
    """What counts as a change.

    Parameters
    ----------
    smallest_change : change, as a fraction of the base, that counts where a benchmark declares none of its own.
    level : probability of one false alarm or more among all benchmarks of a run in which nothing changed.
    least_rounds : rounds before a benchmark is cleared.
    most_rounds : rounds after which a benchmark is judged; raised where the level asks for more (``judged_after``).
    """

    smallest_change: float = 0.05
    level: float = 0.01
    least_rounds: int = 3
    most_rounds: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.smallest_change < 1:
            raise RnnbenchError(f"the smallest change must lie between 0% and 100%, got {self.smallest_change:.0%}")
        if not 0 < self.level < 1:
            raise RnnbenchError(f"the level must lie between 0 and 1, got {self.level}")
        if not 2 <= self.least_rounds <= self.most_rounds:
            raise RnnbenchError(f"the rounds must be at least {max(2, self.least_rounds)}, got {self.most_rounds}")

    def judged_after(self, benchmarks: int) -> int:
        """Return the rounds after which Mann-Whitney's test can say it of one of ``benchmarks``, ten times over."""
        rounds = self.most_rounds
        while math.comb(2 * rounds, rounds) * self.level < 10 * benchmarks:
            rounds += 1
        return rounds


@dataclass(frozen=True)
class Verdict:
    """What became of one benchmark.

    ``outcome``: one of the names above. ``base`` and ``head``: medians over processes, in the benchmark's unit, as
    measured. ``change``, ``low`` and ``high``: the shift as a fraction of the base with its 95% interval, positive for
    more, a time's with the reference divided out. ``p``: of the test towards worse. ``reason``: why there
    are no numbers.
    """

    benchmark: Benchmark
    outcome: str
    rounds: int = 0
    base: float | None = None
    head: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON: a change from zero, which is no number, is null."""
        numbers = {name: getattr(self, name) for name in ("base", "head", "change", "low", "high", "p")}
        finite = {
            name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()
        }
        return {
            "benchmark": self.benchmark.name,
            "params": dict(zip(self.benchmark.param_names, self.benchmark.params, strict=True)),
            "unit": self.benchmark.unit,
            "better": self.benchmark.better,
            "outcome": self.outcome,
            "rounds": self.rounds,
            **finite,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Processes:
    """Both sides' processes on a scale where a difference is the change: of times the logarithm.

    ``paired``: whether the two processes of a round took turns, so that they saw the same minute of the machine.
    ``references``: logarithms of the times of the reference workload beside them, of times only. ``border``: the shift
    that counts. ``sign``: 1 where more is worse, -1 where less is.
    """

    base: np.ndarray
    head: np.ndarray
    border: float
    sign: int
    references: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def paired(self) -> bool:
        return self.references is not None

    @property
    def shifts(self) -> np.ndarray:
        """How much worse the head was, round by round, with the difference of the references divided out."""
        differences = self.head - self.base
        if self.references is not None:
            beside = self.references[1] - self.references[0]
            differences = differences - reference_exponent((differences, beside)) * beside
        return self.sign * differences

    @property
    def exact(self) -> bool:
        """Whether neither side varies at all, as counts and errors of seeded runs do not."""
        return bool(np.ptp(self.base) == 0 and np.ptp(self.head) == 0)


def compare(series: Series, rules: Rules) -> Processes:
    """Return the two sides of a series that was measured."""
    benchmark = series.benchmark
    sign = 1 if benchmark.better == "lower" else -1
    smallest = benchmark.smallest_change if benchmark.smallest_change is not None else rules.smallest_change
    if benchmark.kind == "value":
        base, head = (np.array([getattr(turn, side)[0].value for turn in series.rounds]) for side in ("base", "head"))
        border = max(smallest * abs(float(np.median(base))), benchmark.smallest_difference)
        return Processes(base, head, border, sign)
    base, head = (np.array([_process(getattr(turn, side)) for turn in series.rounds]).T for side in ("base", "head"))
    return Processes(base[0], head[0], math.log1p(smallest), sign, (base[1], head[1]))


def _process(samples: tuple[Sample, ...]) -> np.ndarray:
    """Return the logarithms of a process's time and of its reference: of each the shortest.

    What disturbs a sample only ever makes it longer. On a machine with three times as much to do as it has cores,
    quartiles of a process's samples were off by a factor of two where the shortest were within a few percent.
    """
    return np.log(np.array([tuple(sample) for sample in samples], dtype=float)).min(axis=0)


def reference_exponent(*samples: tuple[np.ndarray, np.ndarray]) -> float:
    """Return how the benchmark's time follows the reference workload's, from 0 (not at all) to 1 (in proportion).

    ``samples``: pairs of arrays, logarithms of times and of the references beside them; slopes are taken within each.
    The result is the median of all slopes between two points (Theil 1950, Sen 1968,
    doi:10.1080/01621459.1968.10480934): one that was disturbed, or whose reference was, has no say. Fewer than
    FEWEST_POINTS points in each say nothing.
    """
    slopes = [np.empty(0)]
    for value, reference in samples:
        if len(value) >= FEWEST_POINTS:
            above, below = np.triu_indices(len(value), 1)
            run = reference[above] - reference[below]
            slopes.append((value[above] - value[below])[run != 0] / run[run != 0])
    pooled = np.concatenate(slopes)
    return float(np.clip(np.median(pooled), 0.0, 1.0)) if pooled.size else 0.0


def needs_more(series: Series, rules: Rules, benchmarks: int = 1) -> bool:
    """Return whether another round could change what is said of a series; ``benchmarks``: number of those measured."""
    if not series.measured:
        return False
    rounds = len(series.rounds)
    held = compare(series, rules)
    if held.exact and (held.base == held.head).all():
        return False
    if held.exact and rounds >= rules.least_rounds:
        return False
    return rounds < rules.least_rounds or (not _cleared(held, rules) and rounds < rules.judged_after(benchmarks))


def _cleared(held: Processes, rules: Rules) -> bool:
    """Return whether a series shows no change that counts: hardly a round saw one, and most saw no gain either."""
    seen = int((held.shifts >= held.border).sum())
    return seen <= (len(held.shifts) - rules.least_rounds) // 3 and float(np.median(held.shifts)) > -held.border


def decide(all_series: list[Series], rules: Rules) -> list[Verdict]:
    """Return a verdict on each series, in order."""
    judged = {index: compare(series, rules) for index, series in enumerate(all_series) if series.measured}
    p_values = {index: _p_values(held) for index, held in judged.items()}
    # What does not vary has no chance in it, and so no share in the level.
    chancy = [index for index, held in judged.items() if not held.exact]
    accused, praised = (
        _holm({index: p_values[index][way] for index in chancy}, rules.level)
        | {index for index, held in judged.items() if held.exact and p_values[index][way] == 0}
        for way in (0, 1)
    )
    verdicts: list[Verdict] = []
    for index, series in enumerate(all_series):
        if index not in judged:
            verdicts.append(_unmeasured(series))
            continue
        held, worse = judged[index], p_values[index][0]
        outcome = UNCHANGED
        shift = held.sign * _shift(held)
        # What may still be cleared is not accused: only the last round decides (see above).
        if not _cleared(held, rules):
            if index in accused and shift >= held.border:
                outcome = REGRESSION
            elif index in praised and shift <= -held.border:
                outcome = IMPROVEMENT
        verdicts.append(_verdict(series, held, outcome, worse))
    return verdicts


def _unmeasured(series: Series) -> Verdict:
    for side, outcome in (("head", FAILED), ("base", NEW)):
        if side in series.failed:
            return Verdict(series.benchmark, outcome, reason=f"{side}: {series.failed[side]}")
    side = "head" if "head" in series.skipped else "base"
    outcome = SKIPPED if side == "head" else NEW
    return Verdict(series.benchmark, outcome, reason=series.skipped.get(side, "it was not measured"))


def _verdict(series: Series, held: Processes, outcome: str, p: float) -> Verdict:
    shift, (low, high) = _shift(held), _interval(held)
    if series.benchmark.kind == "time":
        base, head = (
            float(np.median([math.exp(_process(getattr(turn, side))[0]) for turn in series.rounds]))
            for side in ("base", "head")
        )
        change, low, high = (math.expm1(end) for end in (shift, low, high))
    else:
        base, head = float(np.median(held.base)), float(np.median(held.head))
        scale = abs(base)
        change, low, high = (_fraction(end, scale) for end in (shift, low, high))
    return Verdict(series.benchmark, outcome, len(series.rounds), base, head, change, low, high, p)


def _fraction(difference: float, scale: float) -> float:
    if scale > 0:
        return difference / scale
    return math.copysign(math.inf, difference) if difference else 0.0


def _differences(held: Processes) -> tuple[np.ndarray, float]:
    """Return the sorted differences whose median is the shift (Hodges and Lehmann), and the spread of its rank.

    Of pairs they are the means of all two rounds' shifts, else all differences between a head's and a base's process.
    """
    n, m = len(held.base), len(held.head)
    if held.paired:
        shifts = held.sign * held.shifts
        first, second = np.triu_indices(n)
        return np.sort((shifts[first] + shifts[second]) / 2), math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return np.sort(np.subtract.outer(held.head, held.base), axis=None), math.sqrt(n * m * (n + m + 1) / 12)


def _shift(held: Processes) -> float:
    return float(np.median(_differences(held)[0]))


def _interval(held: Processes, z: float = 1.96) -> tuple[float, float]:
    """Return the shift's 95% interval: the differences that the test would not reject."""
    differences, spread = _differences(held)
    skipped = int(max(0, round(len(differences) / 2 - z * spread)))
    return float(differences[skipped]), float(differences[-1 - skipped])


def _p_values(held: Processes) -> tuple[float, float]:
    """Return the probabilities of such ranks, or clearer ones, without a change: towards worse and towards better."""
    from scipy.stats import mannwhitneyu, wilcoxon

    if held.exact:  # what does not vary has no chance in it
        shift = held.shifts[0]
        return float(shift <= 0), float(shift >= 0)
    base, head = held.base, held.head
    if held.references is not None:
        exponent = reference_exponent((base, held.references[0]), (head, held.references[1]))
        base, head = (side - exponent * beside for side, beside in zip((base, head), held.references, strict=True))
    ways = []
    for way in ("greater", "less"):
        p = float(mannwhitneyu(held.sign * head, held.sign * base, alternative=way).pvalue)
        if held.paired:  # the clearer of two tests, and for that twice its probability
            of_pairs: Any = wilcoxon(held.shifts, alternative=way)
            p = min(1.0, 2 * min(p, float(of_pairs.pvalue)))
        ways.append(p)
    return ways[0], ways[1]


def _holm(p_values: dict[int, float], level: float) -> set[int]:
    """Return the hypotheses that Holm's step-down procedure rejects at a family-wise ``level``."""
    rejected: set[int] = set()
    for index, p in sorted(p_values.items(), key=lambda entry: entry[1]):
        if p > level / (len(p_values) - len(rejected)):
            break
        rejected.add(index)
    return rejected
