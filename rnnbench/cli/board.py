"""The first results of a run as they come: cells by tasks, solved counts, scores, and the time of a training step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.cli.presets import COMMON

if TYPE_CHECKING:
    from rich.table import Table

    from rnnbench.trials import Trial

_NAME_WIDTH = 18  # of a cell or task; a file's path is longer and is cut
_SPACE = 2  # between two columns


class Board:
    """Results by cell (rows) and by task and length (columns), filled in while a run goes on.

    ``cells``: names of the rows, in order. ``trials``: those whose results are awaited; their tasks and lengths are
    the columns. ``timed``: whether a column with the training step at the common shape comes first.
    """

    def __init__(self, cells: Sequence[str], trials: "Iterable[Trial]", timed: bool = False):
        self.cells, self.timed = tuple(cells), timed
        self.columns = tuple(dict.fromkeys((trial.task, trial.length) for trial in trials))
        self._scores: dict[tuple[str, str, int | None], list[tuple[bool, float]]] = {}
        self._times: dict[str, float] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record; kinds that have no place here are passed over."""
        if record["kind"] == "trial":
            trial = record["trial"]
            place = (trial["cell"], trial["task"], trial["length"])
            self._scores.setdefault(place, []).append((record["solved"], record["score"]))
        elif record["kind"] == "time" and record["mode"] == "training":
            if tuple(record[letter] for letter in "TBIH") == COMMON and record["contender"].startswith("rnnbench."):
                self._times[record["cell"]] = record["median"]

    def table(self, width: int, height: int) -> "Table | None":
        """Return the results that fit ``width`` columns and ``height`` lines of a terminal; None if there are none yet.

        Where lengths do not fit side by side a task has one column, over all of them; cells without a result go first
        when lines are short.
        """
        rows = [cell for cell in self.cells if any(self._row(cell, self._lengths()))]
        if not rows or height < 4:
            return None
        columns = self._lengths()
        if self._width(columns, rows) > width:
            columns = self._tasks()
        while len(columns) > 1 and self._width(columns, rows) > width:
            columns = columns[:-1]
        if len(self.cells) + 2 <= height:
            rows = list(self.cells)
        return self._draw(columns, rows[: height - 2])

    def _lengths(self) -> list[tuple[str, list[tuple[str, int | None]]]]:
        """Return (heading, the places it stands for) with one column for each task and length; times have no place."""
        columns: list[tuple[str, list[tuple[str, int | None]]]] = [("training\nstep, ms", [])] if self.timed else []
        before = None
        for task, length in self.columns:
            columns.append((f"{'' if task == before else _cut(task)}\nT={length}", [(task, length)]))
            before = task
        return columns

    def _tasks(self) -> list[tuple[str, list[tuple[str, int | None]]]]:
        columns: list[tuple[str, list[tuple[str, int | None]]]] = [("training\nstep, ms", [])] if self.timed else []
        for task in dict.fromkeys(task for task, _ in self.columns):
            columns.append((f"{_cut(task)}\nall lengths", [place for place in self.columns if place[0] == task]))
        return columns

    def _row(self, cell: str, columns: Sequence[tuple[str, list[tuple[str, int | None]]]]) -> list[str]:
        return [self._entry(cell, places) for _, places in columns]

    def _entry(self, cell: str, places: Sequence[tuple[str, int | None]]) -> str:
        if not places:
            return f"{1e3 * self._times[cell]:.3g}" if cell in self._times else ""
        runs = [run for task, length in places for run in self._scores.get((cell, task, length), ())]
        if not runs:
            return ""
        return f"{sum(solved for solved, _ in runs)}/{len(runs)} {sum(score for _, score in runs) / len(runs):.2f}"

    def _width(self, columns: Sequence[tuple[str, list[tuple[str, int | None]]]], rows: Sequence[str]) -> int:
        widths = [max(map(len, heading.split("\n"))) for heading, _ in columns]
        for cell in rows:
            widths = [max(width, len(entry)) for width, entry in zip(widths, self._row(cell, columns), strict=True)]
        return max(len(_cut(cell)) for cell in self.cells) + sum(width + _SPACE for width in widths)

    def _draw(self, columns: Sequence[tuple[str, list[tuple[str, int | None]]]], rows: Sequence[str]) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, _SPACE, 0, 0), pad_edge=False, header_style="dim")
        table.add_column(Text("solved/runs\nand score"), no_wrap=True)
        for heading, _ in columns:
            table.add_column(Text(heading), justify="right", no_wrap=True)
        for cell in rows:
            table.add_row(Text(_cut(cell), style="bold"), *map(Text, self._row(cell, columns)))
        return table


def _cut(name: str) -> str:
    """Return a name that fits a column; of a long one, such as a file's path, the end says more than the start."""
    return name if len(name) <= _NAME_WIDTH else f"…{name[1 - _NAME_WIDTH :]}"
