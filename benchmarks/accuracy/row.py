"""What a row of the table says, whoever made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.accuracy.judge import Finding, Rule

Outcome = Literal["yes", "in part", "no", "not run"]


@dataclass(frozen=True)
class Row:
    """A published result beside ours.

    ``claim``, ``source``: what was published, and where. ``protocol``: what was run here. ``findings``: each rule with
    what came of it, none before all has run; ``missing``: what has not run yet. ``headings``, ``entries``: the numbers
    behind. ``note``: what differs from the paper. ``data``: all numbers, for the JSON file.
    """

    name: str
    claim: str
    source: str
    protocol: str
    findings: Sequence[tuple[Rule, Finding]]
    headings: Sequence[str]
    entries: Sequence[Sequence[str]]
    missing: str
    note: str
    data: Any

    @property
    def outcome(self) -> Outcome:
        """Whether it came out: "yes" where all rules hold, "no" where none does."""
        held = [finding.holds for _, finding in self.findings]
        if not held:
            return "not run"
        return "yes" if all(held) else "in part" if any(held) else "no"

    @property
    def command(self) -> str:
        """The command that runs this row."""
        return f"python -m benchmarks.accuracy --only {self.name}"
