"""What was measured of two commits: a benchmark, and rounds of samples of both sides."""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

SIDES = ("base", "head")


class Sample(NamedTuple):
    """One number, and the seconds of the reference workload right before it (None where it is no time)."""

    value: float
    reference: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of an asv suite at one combination of parameters.

    Parameters
    ----------
    name : dotted, as asv has it.
    params : texts of the parameters, in order; param_names: their names.
    unit : of the values, such as "seconds", "bytes", "1 - score".
    kind : "time" for what asv times, else "value": a peak of memory, or a number that the benchmark tracks.
    better : "lower" or "higher".
    smallest_change : change, as a fraction of the base, that counts; None for the rules' own.
    smallest_difference : difference, in the benchmark's unit, that counts.
    """

    name: str
    params: tuple[str, ...] = ()
    param_names: tuple[str, ...] = ()
    unit: str = "seconds"
    kind: str = "time"
    better: str = "lower"
    smallest_change: float | None = None
    smallest_difference: float = 0.0

    @property
    def title(self) -> str:
        """The name with its parameters, as asv writes it."""
        return f"{self.name}({', '.join(self.params)})" if self.params else self.name


@dataclass(frozen=True)
class Round:
    """One process of each side: its samples, taken in turns."""

    base: tuple[Sample, ...]
    head: tuple[Sample, ...]


@dataclass
class Series:
    """All that was measured of one benchmark; ``failed`` and ``skipped`` say of a side why it has no numbers."""

    benchmark: Benchmark
    rounds: list[Round] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether both sides have numbers."""
        return bool(self.rounds) and not self.failed and not self.skipped

    def to_json(self) -> dict[str, Any]:
        """Return the series as plain JSON, raw samples and all."""
        rounds = [{side: [list(sample) for sample in getattr(held, side)] for side in SIDES} for held in self.rounds]
        described = {**asdict(self.benchmark), "params": list(self.benchmark.params)}
        described["param_names"] = list(self.benchmark.param_names)
        return {"benchmark": described, "rounds": rounds, "failed": self.failed, "skipped": self.skipped}

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> "Series":
        """Return the series that ``to_json`` wrote."""
        described = dict(held["benchmark"])
        described["params"], described["param_names"] = tuple(described["params"]), tuple(described["param_names"])
        rounds = [
            Round(*(tuple(Sample(*sample) for sample in turn[side]) for side in SIDES)) for turn in held["rounds"]
        ]
        return cls(Benchmark(**described), rounds, dict(held["failed"]), dict(held["skipped"]))
