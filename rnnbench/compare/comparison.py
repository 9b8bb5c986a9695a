"""The answer of a comparison, as data, words, table and figure."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rnnbench.compare import words
from rnnbench.compare.differences import Difference, differences, left_out, paired
from rnnbench.compare.older import Older
from rnnbench.errors import RnnbenchError
from rnnbench.report import frames, machines, standing
from rnnbench.report.across_tasks import Runs, common_runs, is_control, numbers, order_of_merit
from rnnbench.report.aggregates import interquartile_mean
from rnnbench.report.statistics import wilson_interval

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True)
class Comparison:
    """What is known of some cells on the same tasks, lengths and seeds.

    ``records``: those it stands on. ``runs``: cell -> task and length -> its runs, seed by seed. ``pairs_found``: the
    tested pairs. ``older``: the results of an older store on the same trials.
    """

    records: Sequence[Mapping[str, Any]]
    runs: Runs
    match: str = "hidden"
    reference: str = ""
    baseline: str | None = None
    failures: Sequence[str] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    older: Older | None = None

    @classmethod
    def of(
        cls,
        records: Sequence[Mapping[str, Any]],
        match: str = "hidden",
        reference: str = "",
        baseline: str | None = None,
        failures: Sequence[str] = (),
        older: Older | None = None,
    ) -> "Comparison":
        """Return the comparison that trial records give; RnnbenchError where they give none."""
        engines = sorted({str(record["trial"].get("engine")) for record in records})
        if len(engines) > 1:
            raise RnnbenchError(f"results of several engines are not compared with one another: {', '.join(engines)}")
        every = common_runs(frames.trials(records))
        runs = paired(every)
        if len(runs) < 2:
            why = f" ({failures[0]})" if failures else ""
            raise RnnbenchError(f"there is nothing to compare: no seed was finished by all cells{why}")
        if baseline is not None:  # as the runs call it: a control's name says what it is
            baseline = next((cell for cell in runs if cell == baseline or cell.startswith(f"{baseline} (")), None)
        return cls(records, runs, match, reference, baseline, failures, left_out(every, runs), older)

    @cached_property
    def cells(self) -> list[str]:
        """The cells, the one that comes out better most often first, controls after all others."""
        return order_of_merit(self.runs)

    @cached_property
    def differences(self) -> list[Difference]:
        """Every pair of cells, or each cell with the baseline, with its test."""
        return differences(self.runs, self.baseline)

    @cached_property
    def table(self) -> frames.Frame:
        """A pandas DataFrame with one row for each cell, the best first; docs/compare.md has its columns."""
        return pd.DataFrame([self._row(cell) for cell in self.cells])

    def _row(self, cell: str) -> dict[str, Any]:
        every = [run for runs in self.runs[cell].values() for run in runs]
        score = interquartile_mean(numbers(self.runs[cell], "score"))
        solved = sum(run["solved"] is True for run in every)
        steps = standing.solving(every)
        median = steps.median if steps else (math.nan,) * 3
        row: dict[str, Any] = {
            "cell": cell,
            "control": is_control(self.runs[cell]),
            "hidden": np.median(self.hidden(cell)),
        }
        row |= {"parameters": np.median([run["params"] for run in every]), "runs": len(every), "solved": solved}
        row |= dict(zip(("solved_low", "solved_high"), wilson_interval(solved, len(every)), strict=True))
        row |= dict(zip(("score", "score_low", "score_high"), score, strict=True))
        row |= dict(zip(("steps_to_solve", "steps_low", "steps_high"), median, strict=True))
        row |= dict(zip(("mean_steps", "mean_low", "mean_high"), steps.mean if steps else median, strict=True))
        row["diverged"] = sum(run["diverged"] is True for run in every)
        return row | {"step_seconds": self._step_seconds(every)}

    def hidden(self, cell: str) -> list[int]:
        """Return the hidden sizes of a cell over tasks and lengths, each once, sorted."""
        base = next(run["base"] for runs in self.runs[cell].values() for run in runs)
        return sorted({record["trial"]["hidden"] for record in self.records if record["trial"]["cell"] == base})

    def _step_seconds(self, runs: Sequence[frames.Row]) -> float:
        """Return the median time of a training step; NaN where the records are not of one machine and version."""
        if len({machines.state_of(record) for record in self.records}) > 1:
            return math.nan
        each = [run["seconds"] / run["steps"] for run in runs if run["steps"] > 0 and run["seconds"] > 0]
        return float(np.median(each)) if each else math.nan

    @cached_property
    def pairs(self) -> frames.Frame:
        """A pandas DataFrame with one row for each tested pair; docs/compare.md has its columns."""
        rows = []
        for one in self.differences:
            row: dict[str, Any] = {"better": one.better, "worse": one.worse}
            row |= dict(zip(("wins", "wins_low", "wins_high"), one.wins, strict=True))
            row |= {"p": one.p, "p_corrected": one.corrected, "real": one.real, "seeds": one.seeds}
            rows.append(row | {"seeds_needed": one.needed, "more_seeds": one.more})
        return pd.DataFrame(rows).astype({"seeds_needed": "Int64", "more_seeds": "Int64"})

    @cached_property
    def words(self) -> str:
        """The answer in sentences, a paragraph a line."""
        return "\n".join(words.paragraphs(self))

    @cached_property
    def figure(self) -> "alt.VConcatChart":
        """Every run's score, how many had solved their task by which step, and who comes out better how often."""
        from rnnbench.compare.figure import figure

        return figure(self)

    def to_json(self) -> dict[str, Any]:
        """Return words, tables and what they stand on as plain JSON; None stands for a number that is not finite."""
        document = {
            "words": self.words.splitlines(),
            "table": _plain(self.table),
            "pairs": _plain(self.pairs),
            "match": self.match,
            "reference": self.reference,
            "baseline": self.baseline,
            "failures": list(self.failures),
            "keys": [record["key"] for record in self.records],
        }
        return document if self.older is None else document | {"against": _plain(self.older.table(self.records))}

    def markdown(self) -> str:
        """Return words and table in GitHub's Markdown."""
        from rnnbench.report.tables import markdown_text

        told = "\n\n".join(markdown_text(line) for line in self.words.splitlines())
        return f"{told}\n\n{words.cells_table(self).markdown()}\n{words.pairs_table(self).markdown()}"

    def __str__(self) -> str:
        return self.words

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.cells)}>"

    def _repr_html_(self) -> str:
        from rnnbench.compare.figure import svg

        told = "".join(f"<p>{html.escape(line)}</p>" for line in self.words.splitlines())
        shown = "".join(words.html_table(table) for table in (words.cells_table(self), words.pairs_table(self)))
        return f"<div>{told}{shown}{svg(self.figure)}</div>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # One bundle: a notebook would else show the text alone where it prefers it.
        return {"text/plain": str(self), "text/html": self._repr_html_(), "text/markdown": self.markdown()}


def _plain(table: frames.Frame) -> list[dict[str, Any]]:
    return [{str(name): _finite(value) for name, value in row.items()} for row in table.to_dict("records")]


def _finite(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
