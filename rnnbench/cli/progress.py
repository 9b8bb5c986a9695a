"""What is going on, for how long, and first results: one live view on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rnnbench.cli.text import tell, warn

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from rnnbench.cli.board import Board

DRAW_SECONDS = 0.2
LINE_SECONDS = 15.0
_BAR_WIDTH = 16


def clock(seconds: float) -> str:
    """Return a duration to the second as a clock shows it: 83 -> 1:23, 3723 -> 1:02:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Stage:
    """One part of a run with a known number of steps; tells the view where it stands."""

    def __init__(self, view: "View", name: str, total: int, expected: float | None = None):
        self.name, self.total, self.done = name, total, 0
        self.doing: tuple[str, ...] = ()
        self._view, self._expected = view, expected
        self._begun: float | None = None
        self._ended: float | None = None
        self._at_start = 0
        self._told: float | None = None

    def begin(self) -> None:
        """Start the stage's clock."""
        self._begun = time.monotonic()

    def skip(self, done: int) -> None:
        """Count ``done`` steps that were there from an earlier run: they say nothing about the time left."""
        self.done = self._at_start = done

    def expect(self, seconds: float) -> None:
        """Tell how long the stage will take, before its own steps say so."""
        self._expected = seconds

    def say(self, what: str | Sequence[str], seconds_left: float | None = None) -> None:
        """Tell what is being done now, several things if there are; ``seconds_left`` of this stage if it is known."""
        self.doing = (what,) if isinstance(what, str) else tuple(what)
        self._told = seconds_left
        self._view.show(self)

    def step(self, what: str = "") -> None:
        """Count one step as done."""
        self.done += 1
        self.say(what or self.doing)

    def note(self, sentence: str) -> None:
        """Print a sentence that stays."""
        self._view.note(sentence)

    def found(self, record: Mapping[str, Any]) -> None:
        """Show what is in a record among the first results."""
        self._view.found(record)

    @property
    def left(self) -> float | None:
        """Seconds that the stage still takes: as it was told, by its mean step so far, or as was expected before."""
        if self._ended is not None or self.done >= self.total:
            return 0.0
        if self._told is not None:
            return self._told
        if self._begun is not None and self.done > self._at_start:
            return (time.monotonic() - self._begun) / (self.done - self._at_start) * (self.total - self.done)
        return self._expected

    def end(self) -> str:
        """Stop the clock and return a line that says how many steps were done and how long they took."""
        assert self._begun is not None
        self._ended = time.monotonic()
        self.doing = ()
        kept = f", {self._at_start} of them from before" if self._at_start else ""
        return f"{self.name}: {self.done}/{self.total} in {clock(self.seconds)}{kept}"

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        if self._begun is None:
            return 0.0
        return (time.monotonic() if self._ended is None else self._ended) - self._begun


class View:
    """All stages of one run, what runs now, the time that is left, and first results.

    ``stages``: name -> number of steps, in order. ``expected``: name -> seconds, for the time left of what has not
    begun. ``board``: where first results are shown. ``deadline``: of ``time.monotonic``, by which all ends.

    Nothing is drawn from a thread of its own: this process must be idle while a contender is timed.
    """

    def __init__(
        self,
        console: "Console",
        stages: Mapping[str, int],
        expected: Mapping[str, float] | None = None,
        board: "Board | None" = None,
        deadline: float | None = None,
    ):
        self.stages = {name: Stage(self, name, total, (expected or {}).get(name)) for name, total in stages.items()}
        self._console, self._board, self._deadline = console, board, deadline
        self._begun = self._shown = time.monotonic()
        self._live: Live | None = None
        self._ended: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Begin a stage, and end it with a line that stays; after an error there is none."""
        held = self.stages[name]
        held.begin()
        try:
            yield held
        finally:
            line = held.end()
        if self._live is None:
            tell(self._console, line)
        else:  # the view has it too, until it is taken away
            self._ended.append(line)

    @contextmanager
    def drawn(self) -> Iterator["View"]:
        """Draw the view while the run goes on, if there is a terminal, and take it away at the end."""
        if self._console.quiet or not self._console.is_terminal:
            yield self
            return
        from rich.live import Live

        with Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop") as self._live:
            try:
                yield self
            finally:
                self._live = None
        for line in self._ended:
            tell(self._console, line)

    def note(self, sentence: str) -> None:
        """Print a sentence that stays."""
        warn(self._console, sentence)

    def found(self, record: Mapping[str, Any]) -> None:
        """Take a record into the first results."""
        if self._board is not None:
            self._board.add(record)

    @property
    def left(self) -> float | None:
        """Seconds until all stages are done; None where nothing is known of one of them."""
        each = [stage.left for stage in self.stages.values()]
        until = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        if any(left is None for left in each):
            return until
        whole = sum(left for left in each if left is not None)
        return whole if until is None else min(whole, until)

    def show(self, stage: Stage) -> None:
        """Show where the run stands, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._shown < (DRAW_SECONDS if self._live else LINE_SECONDS):
            return
        self._shown = now
        if self._live is not None:
            self._live.update(self.picture(*self._console.size), refresh=True)
        else:
            told = [f"{stage.name} {stage.done}/{stage.total}", self._time_left(), ", ".join(stage.doing)]
            tell(self._console, ", ".join(filter(None, told)))

    def picture(self, width: int, height: int) -> "RenderableType":
        """Return the view as it is drawn on a terminal of ``width`` columns and ``height`` lines."""
        from rich.console import Group
        from rich.text import Text

        doing = [line for stage in self.stages.values() for line in stage.doing]
        parts: list[RenderableType] = [self._stages(width)]
        room = height - len(self.stages) - 2
        shown = doing[: max(1, room // 3)]
        parts += [Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in shown]
        room -= len(shown) + 1
        board = self._board.table(width, room) if self._board is not None else None
        if board is not None:
            parts += [Text(), board]
        times = ", ".join(filter(None, [f"{clock(time.monotonic() - self._begun)} gone", self._time_left()]))
        return Group(*parts, Text(times, style="bold", no_wrap=True, overflow="ellipsis"))

    def _stages(self, width: int) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        for _ in range(2 if width < 40 else 4):
            grid.add_column(no_wrap=True)
        for stage in self.stages.values():
            count = Text(f"{stage.done}/{stage.total}")
            name = Text(stage.name, style="bold" if stage.doing else "")
            if width < 40:  # no room for a bar
                grid.add_row(name, count)
                continue
            bar = ProgressBar(total=max(1, stage.total), completed=stage.done if stage.total else 1, width=_BAR_WIDTH)
            grid.add_row(name, bar, count, Text(clock(stage.seconds) if stage.seconds else "", style="dim"))
        return grid

    def _time_left(self) -> str:
        left = self.left
        return "" if left is None else f"about {clock(left)} left"


@contextmanager
def stage(console: "Console", name: str, total: int) -> Iterator[Stage]:
    """Show a run that has one stage, of ``total`` steps, while it is under way."""
    with View(console, {name: total}).drawn() as view, view.stage(name) as held:
        yield held
