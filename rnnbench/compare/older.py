"""An older results store, held against the results at hand: the same trials, by their keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rnnbench.measure.ratio import paired_ratio
from rnnbench.report import frames, machines
from rnnbench.report.quantities import listed, number, times, whole
from rnnbench.report.significance import rank_sum_test
from rnnbench.trials.store import Store

SAME = ("score", "loss", "solved", "steps", "steps_to_solve", "diverged", "curve")
"""What an equal trial comes to, to the bit, where the arithmetic has not changed."""


@dataclass(frozen=True)
class Older:
    """The trial records of an older store; ``path`` is what messages call it."""

    path: Path
    records: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, path: str | Path) -> "Older":
        """Read a results file, or the one in a run's folder; RnnbenchError where there is none that can be read."""
        path = Path(path)
        file = path / "results.sqlite" if path.is_dir() else path
        with Store(file, read_only=True) as store:
            return cls(path, store.records("trial"))

    def common(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Return (older, newer) record of every trial that both hold: equal keys say that the same was asked."""
        held = {record["key"]: record for record in self.records}
        return [(held[record["key"]], record) for record in records if record["key"] in held]

    def changed(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the cells with trials that the older store asked with the same fields under another key.

        Their equations, their task or their data file are others than then: those results answer another question.
        """
        keys = {record["key"] for record in self.records}
        asked = [record["trial"] for record in self.records]
        new = [record["trial"] for record in records if record["key"] not in keys]
        return sorted({trial["cell"] for trial in new if trial in asked})

    def table(self, records: Sequence[Mapping[str, Any]]) -> frames.Frame:
        """Return one row for each cell that both have trials of.

        Columns: cell, trials, identical (to the bit), solved_then, solved_now, score_then, score_now (means), p (of the
        rank-sum test of no difference), step_ratio with step_low and step_high (time of a training step now over then;
        NaN where the machines differ).
        """
        pairs: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for then, now in self.common(records):
            pairs.setdefault(now["trial"]["cell"], []).append((then, now))
        return pd.DataFrame([_row(cell, held) for cell, held in pairs.items()])

    def sentences(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what has changed since, in words."""
        table, common = self.table(records), self.common(records)
        told = [f"{self.path} holds {whole(len(common))} of these {whole(len(records))} trials."]
        for row in frames.rows_of(table):
            told.append(_sentence(row))
        changed = self.changed(records)
        if changed:
            told.append(
                f"It also holds trials of {listed(changed)} under other keys: their equations or data have changed "
                "since, and those results are left out."
            )
        if common:
            told += _origins(common)
        return told


def _row(cell: str, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": cell, "trials": len(pairs)}
    row["identical"] = sum(all(then.get(name) == now.get(name) for name in SAME) for then, now in pairs)
    strata: dict[tuple[str, Any], list[tuple[float, float]]] = {}
    sides = [frames.rows_of(frames.trials([then, now])) for then, now in pairs]
    for then, now in sides:
        strata.setdefault((now["task"], str(now["length"])), []).append((then["outcome"], now["outcome"]))
    for place, word in ((0, "then"), (1, "now")):
        row[f"solved_{word}"] = sum(side[place]["solved"] is True for side in sides)
        row[f"score_{word}"] = float(np.mean([side[place]["score"] for side in sides]))
    held = [np.array(stratum) for stratum in strata.values()]
    row["p"] = rank_sum_test([one[:, 1] for one in held], [one[:, 0] for one in held])
    return row | dict(zip(("step_ratio", "step_low", "step_high"), _step_ratio(pairs), strict=True))


def _step_ratio(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> tuple[float, float, float]:
    every = [record for pair in pairs for record in pair]
    timed = all(record["seconds"] > 0 and record["steps"] > 0 for record in every)
    if len(pairs) < 2 or not timed or len({machines.machine_of(record) for record in every}) > 1:
        return np.nan, np.nan, np.nan
    now = [record["seconds"] / record["steps"] for _, record in pairs]
    return paired_ratio(now, [record["seconds"] / record["steps"] for record, _ in pairs])


def _sentence(row: frames.Row) -> str:
    cell, trials = row["cell"], int(row["trials"])
    if row["identical"] == trials:
        told = f"{cell}: {'the trial is' if trials == 1 else f'all {trials} trials are'} identical to the bit"
    else:
        told = f"{cell}: {whole(row['identical'])} of {whole(trials)} trials are identical to the bit; "
        told += f"solved {whole(row['solved_now'])} now and {whole(row['solved_then'])} then, "
        told += f"mean score {number(row['score_now'])} and {number(row['score_then'])}; "
        word = "a real difference" if row["p"] <= 0.05 else "no real difference"
        told += f"{word} (p = {number(row['p'], 2)})"
    if row["step_ratio"] == row["step_ratio"]:
        told += f"; a training step takes {times(row['step_ratio'], row['step_low'], row['step_high'])} as long as then"
    return f"{told}."


def _origins(common: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """Return a sentence on machines and one on versions, where they differ between then and now."""
    then, now = zip(*common, strict=True)
    told = []
    if {machines.machine_of(record) for record in then} != {machines.machine_of(record) for record in now}:
        told.append(
            f"Then on {listed(machines.names(then))}, now on {listed(machines.names(now))}: times are not compared, "
            "and results that are not identical may differ for that reason alone."
        )
    versions = [sorted({machines.version_of(record) for record in side}) for side in (then, now)]
    if versions[0] != versions[1]:
        told.append(f"Then by {listed(versions[0])}, now by {listed(versions[1])}.")
    return told
