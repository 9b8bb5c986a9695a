"""What a comparison of two commits came to: its exit code, and the texts that others read.

Markdown for a pull request's comment, JSON with every sample, JUnit's XML, and the JSON of github-action-benchmark
(https://github.com/benchmark-action/github-action-benchmark, its tools customSmallerIsBetter and customBiggerIsBetter).
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rnnbench.regression.decision import FAILED, IMPROVEMENT, NEW, REGRESSION, SKIPPED, UNCHANGED, Rules, Verdict
from rnnbench.regression.series import Benchmark, Series

FINE, SLOWER, BROKEN, NOTHING, NO_BASELINE = range(5)
# Of a comment on GitHub at most 65,536 characters are kept.
LONGEST_COMMENT = 60_000
MARK = "<!-- rnnbench ci -->"


@dataclass(frozen=True)
class Comparison:
    """Two commits compared. ``problem``: an exit code and a sentence, where they could not be measured at all."""

    base: str
    head: str
    rules: Rules
    verdicts: list[Verdict] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    where: dict[str, Any] = field(default_factory=dict)
    problem: tuple[int, str] | None = None

    def having(self, *outcomes: str) -> list[Verdict]:
        """Return the verdicts with one of ``outcomes``, the greatest changes first."""
        return sorted(
            (verdict for verdict in self.verdicts if verdict.outcome in outcomes),
            key=lambda verdict: (-abs(verdict.change or 0.0), verdict.benchmark.title),
        )

    @property
    def exit_code(self) -> int:
        """The highest that applies: 0 fine, 1 regression, 2 a benchmark failed, 3 nothing measured, 4 no baseline."""
        if self.problem is not None:
            return self.problem[0]
        measured = [verdict for verdict in self.verdicts if verdict.rounds]
        if not measured:
            outcomes = {verdict.outcome for verdict in self.verdicts}
            if NEW in outcomes:
                return NO_BASELINE
            return BROKEN if FAILED in outcomes else NOTHING
        if self.having(FAILED):
            return BROKEN
        return SLOWER if self.having(REGRESSION) else FINE

    @property
    def sentence(self) -> str:
        """The answer."""
        if self.problem is not None:
            return self.problem[1]
        code = self.exit_code
        if code == NO_BASELINE:
            return f"no usable baseline: no benchmark runs with {self.base} ({self.having(NEW)[0].reason})"
        if code == NOTHING:
            skipped = f"of {counted(len(self.verdicts), 'benchmark')} every one skips here"
            return f"nothing was measured: {skipped if self.verdicts else 'no benchmark was chosen'}"
        measured = sum(bool(verdict.rounds) for verdict in self.verdicts)
        parts = [
            counted(len(self.having(outcome)), name)
            for outcome, name in ((REGRESSION, "regression"), (IMPROVEMENT, "improvement"), (FAILED, "failure"))
            if self.having(outcome)
        ]
        told = ", ".join(parts) if parts else "no change"
        return f"{told} among {counted(measured, 'benchmark')} measured"

    def to_json(self) -> dict[str, Any]:
        """Return all of it, raw samples and all, as plain JSON."""
        return {
            "schema": 1,
            "kind": "ci",
            "base": self.base,
            "head": self.head,
            "exit_code": self.exit_code,
            "answer": self.sentence,
            "rules": asdict(self.rules),
            "where": self.where,
            "benchmarks": [verdict.to_json() for verdict in self.verdicts],
            "series": [series.to_json() for series in self.series],
        }


def counted(number: int, thing: str) -> str:
    """Return "1 benchmark" or "2 benchmarks"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def value_text(value: float | None, benchmark: Benchmark) -> str:
    """Return a number with its unit, such as "1.23 ms", "40.6 MiB" or "0.0812"."""
    if value is None:
        return ""
    if benchmark.unit == "seconds":
        return _scaled(value, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)))
    if benchmark.unit == "bytes":
        return _scaled(value, (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)))
    return f"{value:.4g}"


def _scaled(value: float, units: Iterable[tuple[str, float]]) -> str:
    unit, scale = next(((unit, scale) for unit, scale in units if abs(value) >= scale), list(units)[-1])
    return f"{value / scale:.3g} {unit}" if abs(value) < 1000 * scale else f"{value / scale:,.0f} {unit}"


def change_text(verdict: Verdict) -> str:
    """Return the change in words that say which way it is: "+10.2% (+8.1% to +12.4%)"."""
    if verdict.change is None or verdict.low is None or verdict.high is None:
        return ""
    change, low, high = (_percent(end) for end in (verdict.change, verdict.low, verdict.high))
    return f"{change} ({low} to {high})"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f}%" if math.isfinite(fraction) else "from zero"


def markdown(comparison: Comparison) -> str:
    """Return the comment for a pull request: the answer, what changed, and all the rest in a fold."""
    mark = "🔴" if comparison.exit_code else "🟢"
    lines = [MARK, f"### {mark} Benchmarks: {_cell(comparison.sentence)}", ""]
    changed = comparison.having(REGRESSION, FAILED)
    better = comparison.having(IMPROVEMENT)
    if changed or better:
        lines += _table([*changed, *better])
    rest = comparison.having(UNCHANGED, NEW, SKIPPED)
    if comparison.verdicts:
        lines += ["<details>", f"<summary>All {counted(len(comparison.verdicts), 'benchmark')}</summary>", ""]
        table = _table([*changed, *better, *rest])
        shown = _fitting(table, LONGEST_COMMENT - sum(map(len, lines)))
        lines += table[:shown]
        if shown < len(table):
            lines += ["", f"{len(table) - shown} more rows are in the JSON."]
        lines += ["", "</details>", ""]
    rules = comparison.rules
    lines.append(
        f"<sub>{_cell(comparison.head)} against {_cell(comparison.base)}, measured in turns on one machine. A change "
        f"counts from {rules.smallest_change:.0%} on (or what a benchmark declares), by a rank test at "
        f"{rules.level:g} for all benchmarks together.</sub>"
    )
    return "\n".join(lines) + "\n"


def _table(verdicts: list[Verdict]) -> list[str]:
    lines = ["| | benchmark | base | head | change (95% interval) |", "| --- | --- | ---: | ---: | --- |"]
    marks = {REGRESSION: "🔴 worse", IMPROVEMENT: "🟢 better", FAILED: "💥 failed", NEW: "no baseline"}
    for verdict in verdicts:
        base, head = (value_text(value, verdict.benchmark) for value in (verdict.base, verdict.head))
        told = change_text(verdict) or _cell(verdict.reason)
        name = f"`{_cell(verdict.benchmark.title).replace('`', '')}`"
        lines.append(f"| {marks.get(verdict.outcome, verdict.outcome)} | {name} | {base} | {head} | {told} |")
    return [*lines, ""]


def _fitting(lines: list[str], room: int) -> int:
    for count, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return count
    return len(lines)


def _cell(text: str) -> str:
    """Return a text that may stand in a table: no line break, no bar, no markup."""
    for letter, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(letter, safe)
    return " ".join(text.split())


def junit(comparison: Comparison) -> str:
    """Return JUnit's XML: a regression is a failure, a benchmark that failed an error."""
    suite = ElementTree.Element("testsuite", name="rnnbench ci")
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("base", "head"):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(getattr(comparison, name)))
    tally = {"tests": len(comparison.verdicts), "failures": 0, "errors": 0, "skipped": 0}
    for verdict in comparison.verdicts:
        group = verdict.benchmark.name.rpartition(".")[0]
        title = verdict.benchmark.title.removeprefix(f"{group}.")
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(group), name=_xml(title))
        told = _xml(change_text(verdict) or verdict.reason)
        kind = {REGRESSION: "failure", FAILED: "error", SKIPPED: "skipped", NEW: "skipped"}.get(verdict.outcome)
        if kind is not None:
            ElementTree.SubElement(case, kind, message=told)
            tally[{"failure": "failures", "error": "errors"}.get(kind, kind)] += 1
        else:
            ElementTree.SubElement(case, "system-out").text = told
    if comparison.problem is not None:
        case = ElementTree.SubElement(suite, "testcase", classname="rnnbench", name="ci")
        ElementTree.SubElement(case, "error", message=_xml(comparison.problem[1]))
        tally["tests"], tally["errors"] = tally["tests"] + 1, tally["errors"] + 1
    for name, number in tally.items():
        suite.set(name, str(number))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Return a text without the control characters that XML cannot hold."""
    return "".join(letter if letter >= " " or letter in "\t\n" else "?" for letter in text)


def action_benchmark(comparison: Comparison, better: str) -> list[dict[str, Any]]:
    """Return the head's numbers of which ``better``, "lower" or "higher", is better, for github-action-benchmark."""
    return [
        {
            "name": verdict.benchmark.title,
            "unit": verdict.benchmark.unit,
            "value": verdict.head,
            "extra": f"{comparison.base}: {verdict.base:.6g}\nchange: {change_text(verdict)}\n{verdict.outcome}",
        }
        for verdict in comparison.verdicts
        if verdict.rounds and verdict.benchmark.better == better
    ]


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write every form into ``folder`` and return the files."""
    texts = {
        "comment.md": markdown(comparison),
        "results.json": json.dumps(comparison.to_json(), indent=1, allow_nan=False) + "\n",
        "junit.xml": junit(comparison),
        "smaller-is-better.json": json.dumps(action_benchmark(comparison, "lower"), indent=1) + "\n",
        "bigger-is-better.json": json.dumps(action_benchmark(comparison, "higher"), indent=1) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
