"""A comparison in sentences and as tables to read."""

import html
import math
from typing import TYPE_CHECKING

import pandas as pd

from rnnbench.compare.differences import POWER, Difference
from rnnbench.report import frames, machines
from rnnbench.report.across_tasks import is_control
from rnnbench.report.aggregates import Estimate
from rnnbench.report.quantities import known, listed, number, percent, seconds, whole
from rnnbench.report.tables import Column, Entry, Table, estimate_entry, steps_entry, table

if TYPE_CHECKING:
    from rnnbench.compare.comparison import Comparison

MOST_PAIRS = 3
"""So many pairs are all told; of more, those of the first cell, and the table has the others."""
_MATCHES = {
    "parameters": "as many parameters as",
    "state": "as large a state as",
    "wall-clock": "as long a training step as",
}


def paragraphs(comparison: "Comparison") -> list[str]:
    """Return the answer: what was compared, who is ahead, pair by pair, what each cell did, and how it was judged."""
    told = [_setting(comparison), _headline(comparison)]
    told += [_pair(one) for one in _told_pairs(comparison)]
    told += [f"{' '.join(_outcome(comparison, cell) for cell in comparison.cells)}"]
    told += [_method(comparison)]
    told += _cautions(comparison)
    if comparison.older is not None:
        told += comparison.older.sentences(comparison.records)
    return told


def _setting(comparison: "Comparison") -> str:
    trials = [record["trial"] for record in comparison.records]
    strata = list(next(iter(comparison.runs.values())))
    lengths: dict[str, list[str]] = {}
    for task, length in strata:
        lengths.setdefault(task, []).append("" if length in ("None", "nan") else f"{float(length):.0f}")
    places = listed([f"{task} at T={listed(ts)}" if all(ts) else task for task, ts in lengths.items()])
    counts = {len(runs) for runs in comparison.runs[comparison.cells[0]].values()}
    seeds = _counted(min(counts), "seed") if len(counts) == 1 else f"{min(counts)} to {max(counts)} seeds"
    steps = listed([whole(value) for value in sorted({trial["steps"] for trial in trials})])
    rates = listed([f"{value:g}" for value in sorted({trial["learning_rate"] for trial in trials})])
    told = f"{places}: {seeds} of each cell, up to {steps} steps, learning rate {rates}, engine {trials[0]['engine']}"
    if comparison.match == "hidden":
        sizes = sorted({trial["hidden"] for trial in trials})
        return f"{told}, H={listed([whole(size) for size in sizes])}."
    sizes = listed([f"{cell} {_span(comparison.hidden(cell))}" for cell in comparison.cells])
    return f"{told}; hidden sizes with {_MATCHES[comparison.match]} {comparison.reference}: {sizes}."


def _headline(comparison: "Comparison") -> str:
    chosen = [cell for cell in comparison.cells if not is_control(comparison.runs[cell])]
    if len(chosen) < 2 or comparison.baseline is not None:
        return _against_baseline(comparison)
    first, others = chosen[0], chosen[1:]
    beaten = [one.worse for one in comparison.differences if one.better == first and one.real and one.worse in others]
    level = [cell for cell in others if cell not in beaten]
    if not beaten:
        seeds = comparison.differences[0].seeds
        if any(one.real for one in comparison.differences if {one.better, one.worse} <= set(chosen)):
            return f"{first} came out ahead, but {_seeds(seeds)} cannot tell it from {_any_of(level)}."
        return f"No difference between {listed(chosen)} is real at {_seeds(seeds)}."
    if not level:
        return f"{first} is better than {listed(beaten)}, and that is real: chance alone is no explanation."
    return f"{first} is better than {listed(beaten)}, but cannot be told from {_any_of(level)}."


def _against_baseline(comparison: "Comparison") -> str:
    """Return who is really better and worse than the cell that all others are held against, one by one otherwise."""
    other = comparison.baseline or comparison.cells[0]
    mine = [one for one in comparison.differences if other in (one.better, one.worse)]
    better = [one.better for one in mine if one.real and one.worse == other]
    worse = [one.worse for one in mine if one.real and one.better == other]
    level = [one.worse if one.better == other else one.better for one in mine if not one.real]
    parts = [f"{listed(better)} {_are(better)} better"] if better else []
    parts += [f"{listed(worse)} {_are(worse)} worse"] if worse else []
    parts += [f"{listed(level)} cannot be told from it"] if level else []
    return f"Held against {other}: {'; '.join(parts)}."


def _told_pairs(comparison: "Comparison") -> list[Difference]:
    pairs = comparison.differences
    if len(pairs) <= MOST_PAIRS or comparison.baseline is not None:
        return pairs
    first = comparison.cells[0]
    return [one for one in pairs if first in (one.better, one.worse)]


def _pair(one: Difference) -> str:
    interval = f"95% interval {percent(one.wins.low)}–{percent(one.wins.high)}"
    if one.wins.value == 0.5:
        told = f"{one.better} and {one.worse} come out better equally often ({interval})"
    else:
        told = (
            f"{one.better} comes out better than {one.worse} in {percent(one.wins.value)} of pairs of runs ({interval})"
        )
    corrected = f" after correction for {one.tests} pairs" if one.tests > 1 else ""
    told += f"; p = {_p(one.corrected)}{corrected}: "
    if one.real:
        return f"{told}a real difference."
    told += f"not real at {_seeds(one.seeds)}. "
    if one.more is None:
        return f"{told}A difference as small as this would not show with 1,000 seeds either."
    repetitions = "four of five" if POWER == 0.8 else percent(POWER)
    return (
        f"{told}If the difference is as large as it looks here, about {whole(one.seeds + one.more)} seeds would show "
        f"it in {repetitions} repetitions: {whole(one.more)} more."
    )


def _outcome(comparison: "Comparison", cell: str) -> str:
    row = comparison.table.set_index("cell").loc[cell].to_dict()
    told = f"{cell} solved {whole(row['solved'])} of {whole(row['runs'])} runs "
    told += f"({percent(row['solved_low'])}–{percent(row['solved_high'])})"
    if known(row["steps_to_solve"]):
        told += f", half of all runs by step {whole(row['steps_to_solve'])}"
    told += f"; score {estimate_entry(_estimate(row, 'score'), number).text}"
    if row["diverged"]:
        told += f"; {whole(row['diverged'])} diverged"
    return f"{told}."


def _method(comparison: "Comparison") -> str:
    corrected = (
        f" after Holm's correction for {len(comparison.differences)} pairs" if len(comparison.differences) > 1 else ""
    )
    return (
        "A run that solves its task is better than one that does not; of two that do, the one that took fewer steps; "
        "of two that do not, the one with the higher score. A difference is real where the exact rank-sum test gives a "
        f"p of at most 0.05{corrected}."
    )


def _cautions(comparison: "Comparison") -> list[str]:
    told = list(comparison.failures)
    for cell, count in comparison.dropped.items():
        told.append(
            f"{_counted(count, 'run')} of {cell} left out: other cells have none at that seed, task and length."
        )
    controls = [cell for cell in comparison.cells if is_control(comparison.runs[cell])]
    cells = [cell for cell in comparison.cells if cell not in controls]
    for control in controls:
        ahead = [one.worse for one in comparison.differences if one.better == control and one.worse in cells]
        if ahead:
            told.append(f"The control {control} came out ahead of {listed(ahead)}: this task asks for no recurrence.")
    if len({record["trial"]["learning_rate"] for record in comparison.records}) == 1:
        told.append(
            "All cells trained with one learning rate: a cell that needs another is undersold (rnnbench sweep)."
        )
    if len({machines.machine_of(record) for record in comparison.records}) > 1:
        told.append(
            f"The runs come from several machines, {listed(machines.names(comparison.records))}: scores and steps are "
            "taken together, times are not shown."
        )
    versions = sorted({machines.version_of(record) for record in comparison.records})
    if len(versions) > 1:
        told.append(f"The runs were made by {listed(versions)}; times are not shown.")
    return told


def cells_table(comparison: "Comparison") -> Table:
    """Return one row for each cell, the best first."""
    frame = comparison.table.assign(
        runs_of=[[run for runs in comparison.runs[cell].values() for run in runs] for cell in comparison.table["cell"]]
    )
    columns: list[Column] = [
        ("cell", "cell", None),
        ("H", lambda row: Entry(_span(comparison.hidden(row["cell"])), row["hidden"]), whole),
        ("parameters", "parameters", whole),
        ("solved (95% interval)", lambda row: _solved(row), percent),
        ("score (95% interval)", lambda row: estimate_entry(_estimate(row, "score"), number), number),
        ("median steps to solve (95% interval)", lambda row: steps_entry(row["runs_of"]), whole),
        ("mean steps (95% interval)", lambda row: estimate_entry(_estimate(row, "mean", "mean_steps"), whole), whole),
        ("diverged", "diverged", whole),
        ("training step", "step_seconds", seconds),
    ]
    caption = (
        "The one whose runs come out better most often first, controls last. Mean steps: spent until solved, the whole "
        "budget by a run that never did. Training step: on one thread, while other trials may run beside it."
    )
    return _there(table("compare", "Cells", caption, frame, columns))


def pairs_table(comparison: "Comparison") -> Table:
    """Return one row for each tested pair."""
    columns: list[Column] = [
        ("cell", "better", None),
        ("comes out better than", "worse", None),
        (
            "in so many pairs of runs (95% interval)",
            lambda row: estimate_entry(_estimate(row, "wins"), percent),
            percent,
        ),
        ("p, corrected", lambda row: Entry(_p(row["p_corrected"]), row["p_corrected"]), number),
        ("real", lambda row: "yes" if row["real"] else "no", None),
        ("seeds", "seeds", whole),
        ("more seeds to show it", lambda row: _more(row), whole),
    ]
    caption = "Exact rank-sum test, two-sided, corrected for the number of pairs by Holm's method."
    return _there(table("pairs", "Pairs", caption, comparison.pairs, columns))


def html_table(shown: Table) -> str:
    """Return a table as HTML for a notebook, every text escaped."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in shown.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(one.text)}</td>' for one in row)}</tr>" for row in shown.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _there(found: Table | None) -> Table:
    assert found is not None, "a comparison has two cells, and so a pair"
    return found


def _estimate(row: frames.Row, name: str, value: str | None = None) -> Estimate:
    return Estimate(row[value or name], row[f"{name}_low"], row[f"{name}_high"])


def _solved(row: frames.Row) -> Entry:
    interval = f"{percent(row['solved_low'])}–{percent(row['solved_high'])}"
    return Entry(f"{whole(row['solved'])}/{whole(row['runs'])} ({interval})", row["solved"] / row["runs"])


def _more(row: frames.Row) -> Entry:
    if row["real"]:
        return Entry("none", 0.0)
    more = row["more_seeds"]
    return Entry("over 1,000", math.inf) if more is pd.NA else Entry(whole(more), float(more))


def _span(sizes: list[int]) -> str:
    return whole(sizes[0]) if len(sizes) == 1 else f"{whole(sizes[0])}–{whole(sizes[-1])}"


def _p(value: float) -> str:
    return "below 0.0001" if value < 0.0001 else number(value, 2)


def _counted(count: int, what: str) -> str:
    return f"{whole(count)} {what}{'' if count == 1 else 's'}"


def _seeds(count: int) -> str:
    return _counted(count, "seed")


def _any_of(cells: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(cells[:-1]), *cells[-1:]]))


def _are(cells: list[str]) -> str:
    return "is" if len(cells) == 1 else "are"
