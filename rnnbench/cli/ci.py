"""The command that compares two commits of a checkout by its asv suite: ``ci``."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rnnbench.cli.text import Json, console, print_json, print_table, tell
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.regression.report import Comparison
    from rnnbench.regression.series import Series

Bench = Annotated[
    list[str] | None,
    typer.Option("--bench", help="A regular expression, as asv takes it; again for more. Not given: the whole suite."),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        help="same: this Python and its packages, and of each commit the project alone; or a version such as 3.12, in "
        "environments that asv makes. Not given: what asv.conf.json says.",
    ),
]
SmallestChange = Annotated[
    float, typer.Option("--smallest-change", help="Percent that count, where a benchmark declares nothing else.")
]
Level = Annotated[
    float, typer.Option("--level", help="Probability of a false alarm in a whole run, at which it is judged.")
]
Rounds = Annotated[
    int, typer.Option("--rounds", help="Rounds, of a process on each side, of a benchmark that stays doubtful.")
]
Suite = Annotated[Path, typer.Option("--asv-config", help="asv's configuration; its folder is the checkout.")]
Output = Annotated[Path, typer.Option("--output", help="The folder of the comment, the JSON and the XML.")]


def ci(
    base: Annotated[str, typer.Argument(help="The commit to compare with: a branch, a tag, a hash.")],
    head: Annotated[str, typer.Argument(help="The commit to judge.")] = "HEAD",
    bench: Bench = None,
    python: Python = None,
    smallest_change: SmallestChange = 5.0,
    level: Level = 0.01,
    rounds: Rounds = 12,
    asv_config: Suite = Path("asv.conf.json"),
    output: Output = Path("reports/ci"),
    as_json: Json = False,
) -> None:
    """Build two commits, measure both in turns with the checkout's asv suite, and say what became worse.

    Exit codes of this command: 0 fine, 1 a regression, 2 a benchmark failed (or bad input), 3 nothing measured, 4 no
    usable baseline; where several apply, the highest.
    """
    from rnnbench.measure import machine_facts
    from rnnbench.regression.decision import Rules, decide
    from rnnbench.regression.measuring import measure
    from rnnbench.regression.report import BROKEN, NO_BASELINE, Comparison, write
    from rnnbench.regression.series import SIDES
    from rnnbench.regression.suite import BrokenHead, NoBaseline, open_suite

    rules = Rules(smallest_change / 100, level, most_rounds=rounds)
    for pattern in bench or ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise RnnbenchError(f"--bench {pattern!r} is no regular expression: {error}") from error
    folder = output.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RnnbenchError(f"cannot write to output folder {output}: {error.strerror}") from error
    out = console(stderr=True)
    try:
        with open_suite(
            base, head, config=asv_config, bench=bench or (), python=python, tell=lambda text: tell(out, text)
        ) as suite:
            series = measure(suite, rules, _progress(out))
            old, new = (
                f"{name} ({suite.sides[side].commit[:8]})" for side, name in zip(SIDES, (base, head), strict=True)
            )
            found = Comparison(old, new, rules, decide(series, rules), series, machine_facts())
    except NoBaseline as error:
        found = Comparison(base, head, rules, problem=(NO_BASELINE, f"no usable baseline: {error}"))
    except BrokenHead as error:
        found = Comparison(base, head, rules, problem=(BROKEN, str(error)))
    files = write(found, folder)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
        tell(
            console(), f"Comment: {output / files[0].name}; beside it JSON, JUnit's XML and github-action-benchmark's."
        )
    raise typer.Exit(found.exit_code)


def _progress(out: "Console") -> Callable[[list["Series"], int], None]:
    """Return what tells, now and then, how far the measuring is."""
    last = time.monotonic()

    def tell_progress(series: list["Series"], left: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 10 or left == 0:
            last = now
            rounds = max((len(held.rounds) for held in series), default=0)
            tell(out, f"round {rounds}: {left} benchmarks left in it")

    return tell_progress


def _print(found: "Comparison") -> None:
    from rnnbench.regression.decision import FAILED, IMPROVEMENT, REGRESSION
    from rnnbench.regression.report import change_text, value_text

    changed = found.having(REGRESSION, FAILED, IMPROVEMENT)
    if changed:
        columns = {"": False, "benchmark": False, "base": True, "head": True, "change (95% interval)": False}
        rows = [
            [
                verdict.outcome,
                verdict.benchmark.title,
                value_text(verdict.base, verdict.benchmark),
                value_text(verdict.head, verdict.benchmark),
                change_text(verdict) or verdict.reason,
            ]
            for verdict in changed
        ]
        print_table("What changed", columns, rows)
    tell(console(), f"{found.head} against {found.base}: {found.sentence}")
