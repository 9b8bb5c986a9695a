"""The command ``sweep``: cells x tasks x lengths x seeds as a plan says, sizes matched and learning rates searched."""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rnnbench.cli.board import Board
from rnnbench.cli.plan import counted
from rnnbench.cli.progress import View
from rnnbench.cli.run import Processes, Scheduler, command_line, prepare_folder
from rnnbench.cli.stages import trial_listener
from rnnbench.cli.text import Json, console, print_json, tell, warn
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from rnnbench.cli.stages import Pace
    from rnnbench.trials import Event, Store, Trial
    from rnnbench.trials.plan import Place, Plan

File = Annotated[Path | None, typer.Argument(metavar="PLAN.toml", help="The plan: docs/sweep.md has every field.")]
Preset = Annotated[str | None, typer.Option("--preset", help="A plan that comes with rnnbench: small or standard.")]
Show = Annotated[bool, typer.Option("--print-plan", help="Print the plan's text, to start one of your own, and stop.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print the trials and how long they will take, and stop.")]
Sample = Annotated[
    float | None,
    typer.Option(
        "--sample", help="With --dry-run: train this share of the trials (0.1: a tenth), and estimate from it."
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", help="The folder of the results; a stopped sweep goes on from it.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", help="Stop after so long (90s, 10m, 8h); the same command then goes on.")
]


class OutOfTime(Exception):
    """Raised when the budget of time is used up: what is stored is reported."""


def sweep(
    plan_file: File = None,
    preset: Preset = None,
    print_plan: Show = False,
    dry_run: Dry = False,
    sample: Sample = None,
    output: Output = None,
    processes: Processes = None,
    scheduler: Scheduler = None,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Train every cell on every task, length and seed of a plan, and report how long each remembers.

    Sizes are matched as the plan asks, and each cell gets a learning rate of its own, by the same budget for all.
    """
    begun = time.monotonic()
    text, origin = _source(plan_file, preset)
    if print_plan:
        typer.echo(text, nl=False)
        return
    from rnnbench.trials.plan import parse_plan

    plan = parse_plan(text, origin)
    folder = output or Path(plan.output or f"reports/{Path(origin).stem}")
    if sample is not None and not (dry_run and 0 < sample <= 1):
        raise RnnbenchError(f"--sample takes a share above 0 and at most 1, along with --dry-run, got {sample:g}")
    if dry_run:
        from rnnbench.cli.dry_run import preview

        preview(plan, folder, processes, scheduler, sample, as_json)
        return
    from rnnbench.cli.budget import seconds_in
    from rnnbench.cli.stages import Pace

    until = None if budget is None else begun + seconds_in(budget)
    _carry_out(plan, folder, Pace(processes, scheduler, until=until), as_json)


def _source(plan_file: Path | None, preset: str | None) -> tuple[str, str]:
    """Return the text of the plan, and what errors call it."""
    from rnnbench.trials.plan import plan_text, preset_text, presets

    if plan_file is None and preset is None:
        raise RnnbenchError(f"a sweep needs a plan: a TOML file, or --preset {' or '.join(presets())}")
    if plan_file is not None and preset is not None:
        raise RnnbenchError(f"give a plan file or --preset, not both: got {plan_file} and {preset}")
    if preset is not None:
        return preset_text(preset), preset
    return plan_text(str(plan_file)), str(plan_file)


def _carry_out(plan: "Plan", folder: Path, pace: "Pace", as_json: bool) -> None:
    from rnnbench.measure import machine_facts
    from rnnbench.report import write_report
    from rnnbench.trials import Store

    if pace.scheduler is not None:
        from rnnbench.trials.executors.cluster import check_scheduler

        check_scheduler(pace.scheduler)
    prepare_folder(folder)
    out = console(stderr=True)
    with Store(folder / "results.sqlite") as store:
        tell(out, f"sweep of {described(plan)}; results in {folder}")
        work = Work(plan, store, out, pace)
        try:
            work.carry_out()
            records = store.records()
            tell(out, "writing the report")
            page = write_report(folder, records, machine_facts(), command_line()) if records else None
        except KeyboardInterrupt:
            _stopped(store, folder, out)
    mine = [record for record in records if record["key"] in work.keys]
    if as_json:
        print_json({"output": str(folder), "report": page and str(page), "failures": work.failures, "records": mine})
    else:
        from rnnbench.cli.verdict import print_answers, print_verdict

        print_answers(mine, only_measured=True)
        print_verdict(mine)
        tell(console(), f"Report: {page}")
    if work.left:
        tell(out, f"The time is up; {work.left}. The same command goes on:\n  {command_line()}")
    if work.failures:
        warn(out, f"{counted(len(work.failures), 'failure')}, as told above; the same command tries again.")
        raise typer.Exit(1)


def _stopped(store: "Store", folder: Path, out: "Console") -> NoReturn:
    tell(
        out, f"Stopped; {counted(len(store), 'record')} in {store.path}. The same command resumes:\n  {command_line()}"
    )
    tell(out, f"A report on what there is:\n  rnnbench report {shlex.quote(str(folder))}")
    raise typer.Exit(130) from None


class Work:
    """The stages of a sweep: sizes, learning rates, and the trials to report.

    ``failures``: a sentence for each thing that came to nothing; ``left``: what the budget of time left undone;
    ``keys``: those of the records that the plan is about.
    """

    def __init__(self, plan: "Plan", store: "Store", out: "Console", pace: "Pace"):
        self.plan, self.store, self.out, self.pace = plan, store, out, pace
        self.failures: list[str] = []
        self.left = ""
        self.keys: set[str] = set()

    def carry_out(self) -> None:
        """Do what the store does not hold, until the budget of time is used up; KeyboardInterrupt after Ctrl-C."""
        from rnnbench.trials.matching import match_key, match_places
        from rnnbench.trials.search import planned

        # Sizes and rates are not known yet, but how many trials there will be is.
        sizes = {match_key(self.plan, at) for at in match_places(self.plan).values()}
        searches = {search.place: search for search in planned(self.plan, {}).values()}
        each = sum(search.settings.trials * len(search.settings.seeds) for search in searches.values())
        totals = {"sizes": len(sizes), "search": each, "trials": len(self.plan.places()) * len(self.plan.seeds)}
        board = Board(self.plan.cells, self.plan.trials({}, {}))
        for record in self.store.records("trial"):
            board.add(record)
        shown = {name: total for name, total in totals.items() if total}
        with View(self.out, shown, board=board, deadline=self.pace.until).drawn() as view:
            try:
                hidden = self._match(view, sizes)
                rates, without = self._search(view, hidden)
                trials = self.plan.trials(hidden, rates, without)
                self.keys |= {trial.key for trial in trials}
                with view.stage("trials") as progress:
                    progress.skip(sum(trial.key in self.store for trial in trials))
                    self._run(trials, trial_listener(progress, self.failures))
            except OutOfTime as stop:
                self.left = str(stop)

    def _match(self, view: View, keys: set[str]) -> dict["Place", int]:
        from rnnbench.trials.matching import Match, matched, to_record

        if not keys:
            return {}
        self.keys |= keys
        with view.stage("sizes") as progress:
            progress.skip(sum(key in self.store for key in keys))

            def keep(found: Match) -> None:
                self.store.add(to_record(found))
                progress.step(f"{found.place}: H={found.hidden}")
                if self.pace.until is not None and time.monotonic() >= self.pace.until:
                    raise OutOfTime("the search and the trials are left")

            matches = matched(self.plan, self.store, keep)
        return {place: found.hidden for place, found in matches.items()}

    def _search(self, view: View, hidden: Mapping["Place", int]) -> tuple[dict["Place", float], list["Place"]]:
        from rnnbench.trials.search import planned, search_rates

        searches = {search.place: search for search in planned(self.plan, hidden).values()}
        if not searches:
            return {}, []
        counts = {place: search.settings.trials * len(search.settings.seeds) for place, search in searches.items()}
        stored = sum(count for place, count in counts.items() if searches[place].key in self.store)
        # Steps of the trials to report for each step of the search.
        longer = sum(trial.steps for trial in self.plan.trials(hidden, {}))
        longer /= sum(count * searches[place].trial.steps for place, count in counts.items())
        with view.stage("search") as progress:
            progress.skip(stored)
            listener = trial_listener(progress, self.failures)

            def hear(event: "Event") -> None:
                # A round is not the whole search: how long that takes is better told from its trials so far.
                listener(replace(event, seconds_left=None))
                if progress.done > stored:
                    each = progress.seconds / (progress.done - stored)
                    view.stages["trials"].expect(each * progress.total * longer)

            def run(trials: "list[Trial]") -> None:
                # Of a search that was stopped, its trials come up again and are there.
                progress.done += sum(trial.key in self.store for trial in trials)
                self._run(trials, hear)

            rates, without = search_rates(self.plan, hidden, self.store, run)
        self.keys |= {search.key for search in searches.values()}
        self.failures += [f"no learning rate for {place}: a trial of its search failed" for place in without]
        return rates, without

    def _run(self, trials: "Sequence[Trial]", hear: "Callable[[Event], None]") -> None:
        from rnnbench.measure import machine_facts
        from rnnbench.trials import run_all

        pace = self.pace
        summary = run_all(trials, self.store, pace.processes, pace.scheduler, hear, machine_facts, pace.until)
        if summary.left:
            raise OutOfTime(f"{counted(len(summary.left), 'trial')} of this stage are left")


def described(plan: "Plan") -> str:
    """Return the size of a plan in words: what is combined, matched and searched for."""
    counts = [counted(len(plan.cells), "cell"), counted(len(plan.tasks), "task"), counted(len(plan.seeds), "seed")]
    told = f"{', '.join(counts)}, {counted(len(plan.places()) * len(plan.seeds), 'trial')}, matched by {plan.match}"
    if plan.search is None:
        return told
    return f"{told}, a learning rate from {counted(plan.search.trials, 'trial')} for each cell on each task"
