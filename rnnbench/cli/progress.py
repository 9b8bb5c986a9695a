"""What is going on and how long it will take: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

BAR_SECONDS = 0.2
LINE_SECONDS = 15.0


def clock(seconds: float) -> str:
    """Return a duration to the second as a clock shows it: 83 -> 1:23, 3723 -> 1:02:03."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Stage:
    """One part of a run with a known number of steps; tells the reader where it stands.

    Nothing is drawn from a thread of its own: this process must be idle while a contender is timed.
    """

    def __init__(self, console: "Console", name: str, total: int, bar: "Progress | None"):
        self.name, self.total, self.done = name, total, 0
        self._console, self._bar = console, bar
        self._begun = self._shown = time.monotonic()
        self._at_start = 0
        self._left: float | None = None
        self._bar_task: TaskID | None = bar.add_task(name, total=total, left="", what="") if bar else None

    def skip(self, done: int) -> None:
        """Count ``done`` steps that were there from an earlier run: they say nothing about the time left."""
        self.done = self._at_start = done

    def say(self, what: str, seconds_left: float | None = None) -> None:
        """Tell what is being done now; ``seconds_left`` of this stage if the caller knows better than its mean step."""
        if seconds_left is None and self.done > self._at_start:
            each = (time.monotonic() - self._begun) / (self.done - self._at_start)
            seconds_left = each * (self.total - self.done)
        self._left = seconds_left
        self._show(what)

    def step(self, what: str = "") -> None:
        """Count one step as done."""
        self.done += 1
        self.say(what)

    def note(self, sentence: str) -> None:
        """Print a sentence that stays."""
        self._console.print(sentence, style="yellow", markup=False, highlight=False)

    def _show(self, what: str) -> None:
        now = time.monotonic()
        if now - self._shown < (BAR_SECONDS if self._bar else LINE_SECONDS):
            return
        self._shown = now
        from rich.markup import escape

        left = "" if self._left is None else f"about {clock(self._left)} left"
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, completed=self.done, left=left, what=escape(what))
            self._bar.refresh()
        else:
            told = ", ".join(filter(None, [f"{self.name} {self.done}/{self.total}", left, what]))
            self._console.print(told, markup=False, highlight=False)

    def end(self) -> None:
        """Leave one line that says how many steps were done and how long they took."""
        taken = clock(time.monotonic() - self._begun)
        kept = f", {self._at_start} of them from before" if self._at_start else ""
        told = f"{self.name}: {self.done}/{self.total} in {taken}{kept}"
        self._console.print(told, markup=False, highlight=False)


@contextmanager
def stage(console: "Console", name: str, total: int) -> Iterator[Stage]:
    """Show progress on ``console`` while a part of a run with ``total`` steps is under way."""
    if not console.is_terminal:
        held = Stage(console, name, total, None)
        yield held
        held.end()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    # What is going on takes the width that is left: on a narrow terminal it is cut, and not the bar or the time.
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=16, table_column=Column(min_width=16)),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=len(f"{total}/{total}"))),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True, min_width=len("about 0:00:00 left"))),
        TextColumn("[dim]{task.fields[what]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=console, auto_refresh=False, transient=True, expand=True) as bar:
        held = Stage(console, name, total, bar)
        yield held
    held.end()
