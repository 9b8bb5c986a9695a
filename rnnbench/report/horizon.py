"""The horizon of each cell in the report: a table, a figure for each task, and one sentence."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report.figure import Chart, Figure, Rows, file_stem, log_axis, tooltips
from rnnbench.report.palette import QUIET, Palette
from rnnbench.report.quantities import listed, number, percent, whole
from rnnbench.report.section import Evidence, Section, some
from rnnbench.report.tables import Column, Entry, Table, table
from rnnbench.report.verdict import Answer

Record = Mapping[str, Any]

EXPLAINED = (
    "The horizon is the longest length that most seeds still solve within the budget, together with every shorter "
    "length tried. Lengths were doubled until one was not solved, and the gap was then halved."
)


def horizon_section(evidence: Evidence) -> Section:
    """Return how far each cell's memory reaches, one number a task."""
    return Section(
        "horizon",
        "Horizon: the longest length solved",
        text=[EXPLAINED],
        figures=horizon_figures(evidence.records, evidence.palette),
        tables=some(horizon_table(evidence.records)),
    )


def horizon_answer(records: Iterable[Record]) -> Answer | None:
    """Return whose horizon lies farthest on each task; None without a record."""
    held = horizons(records)
    if not held:
        return None
    winners: list[str] = []
    told = []
    for task in dict.fromkeys(record["task"] for record in held):
        group = [record for record in held if record["task"] == task]
        best = group[0]["horizon"]
        if best is None:
            told.append(f"on {task} no cell solves any length within the budget")
            continue
        first = listed([str(record["cell"]) for record in group if record["horizon"] == best])
        rest = [record for record in group if record["horizon"] != best]
        after = f"; the next, {rest[0]['cell']}, {horizon_entry(rest[0]).text}" if rest else ""
        winners.append(first)
        told.append(f"on {task} the longest T solved is {horizon_entry(group[0]).text}, by {first}{after}")
    sentence = ". ".join(one[0].upper() + one[1:] for one in told)
    return Answer("Farthest horizon", listed(list(dict.fromkeys(winners))) or "none yet", f"{sentence}.")


def horizons(records: Iterable[Record]) -> list[Record]:
    """Return the records of horizons, the newest of each search, by task and the longest first."""
    newest: dict[str, Record] = {}
    held = [record for record in records if record["kind"] == "horizon"]
    for record in sorted(held, key=lambda record: str(record.get("created", ""))):
        asked = [record[name] for name in ("cell", "task", "seeds", "longest", "settings")]
        newest[json.dumps(asked, sort_keys=True)] = record
    return sorted(newest.values(), key=lambda one: (one["task"], -(one["horizon"] or 0), one["cell"]))


def horizon_table(records: Iterable[Record]) -> Table | None:
    """Return a row for each cell and task: the horizon, what the search leaves open, and how many seeds agreed."""
    held = horizons(records)
    settings = _told_apart(held)
    several = len(set(settings)) > 1
    frame = pd.DataFrame({"record": held, "setting": [one if several else None for one in settings]})
    columns: list[Column] = [
        ("task", _of(lambda one: one["task"]), None),
        ("cell", _of(lambda one: one["cell"]), None),
        ("setting", "setting", None),
        ("horizon, T", _of(horizon_entry), whole),
        ("not solved at T", _of(lambda one: one["unsolved"]), whole),
        ("seeds that solve the horizon", _of(lambda one: _seeds(one, one["horizon"])), number),
        ("seeds that solve beyond", _of(lambda one: _seeds(one, one["unsolved"])), number),
        ("solved again at T", _of(lambda one: ", ".join(map(str, one["again"])) or None), None),
        ("trials", _of(lambda one: sum(length["runs"] for length in one["lengths"])), whole),
    ]
    return table("horizon", "Horizon", _caption(held), frame, columns)


def horizon_entry(record: Record) -> Entry:
    """Return a horizon as it is read: a length, "at least" at the limit, or "none" with the shortest length tried."""
    if record["horizon"] is None:
        return Entry(f"none, not even {record['unsolved']}", 0.0)
    at_least = "≥ " if record["unsolved"] is None else ""
    return Entry(f"{at_least}{record['horizon']}", float(record["horizon"]))


def _of(value: Any) -> Any:
    return lambda row: value(row["record"])


def _seeds(record: Record, length: int | None) -> Entry | None:
    found = next((one for one in record["lengths"] if one["length"] == length), None)
    if found is None:
        return None
    return Entry(f"{found['runs_solved']} of {found['runs']}", found["runs_solved"] / found["runs"])


def _told_apart(records: Sequence[Record]) -> list[str]:
    """Return for each record the settings in which records differ, as a text."""
    held = [_setting(record) for record in records]
    others = [name for name in (held[0] if held else {}) if len({json.dumps(one.get(name)) for one in held}) > 1]
    return [", ".join(f"{name}={one.get(name)}" for name in others) for one in held]


def _setting(record: Record) -> dict[str, Any]:
    return dict(record["settings"]) | {"seeds": len(record["seeds"]), "longest": record["longest"]}


def _caption(records: Sequence[Record]) -> str:
    if not records:
        return ""
    settings = [record["settings"] for record in records]
    alike = {name: value for name, value in settings[0].items() if all(one.get(name) == value for one in settings)}
    told = {"hidden": "H={}", "steps": "at most {:,} optimiser steps", "batch": "batches of {}"}
    told |= {"learning_rate": "a learning rate of {:g}"}
    budget = ", ".join(text.format(alike[name]) for name, text in told.items() if alike.get(name) is not None)
    said = f"Budget of a trial: {budget}. " if budget else ""
    counts = sorted({len(record["seeds"]) for record in records})
    said += f"Of {' or '.join(map(str, counts))} seeds as many were run as settle whether most solve a length. "
    precision = max(record["precision"] for record in records)
    said += f"The horizon lies below the length that was not solved, a gap of at most {percent(precision)}, or of 1."
    if any(record["again"] for record in records):
        said += " Where a longer length was solved again, outcomes do not fall with the length: more seeds would tell."
    return said


def horizon_figures(records: Iterable[Record], palette: Palette) -> list[Figure]:
    """Return a figure for each task and setting: bars up to the horizon, and every length that was tried."""
    held = horizons(records)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record, setting in zip(held, _told_apart(held), strict=True):
        groups.setdefault((record["task"], setting), []).append(record)
    found = []
    for (task, setting), group in groups.items():
        title = f"{task}: horizon" + (f" ({setting})" if setting else "")
        caption = (
            "Bars end at the longest length solved, the thin line at the shortest that was not. Dots are lengths that "
            "most seeds solved, crosses those that they did not."
        )
        told = "; ".join(f"{one['cell']} {horizon_entry(one).text}" for one in group)
        name = file_stem(f"horizon_{task}" + (f"__{setting}" if setting else ""))
        chart = _chart(group, palette)
        found.append(Figure(name, title, caption, chart, Rows(30, ("cell",)), {"task": task}, f"{title}: {told}."))
    return found


def _chart(records: Sequence[Record], palette: Palette) -> Chart:
    order = [record["cell"] for record in records]
    tried = pd.DataFrame(
        [
            {
                "cell": record["cell"],
                "length": one["length"],
                "outcome": "solved" if one["solved"] else "not solved",
                "seeds": f"{one['runs_solved']} of {one['runs']}",
            }
            for record in records
            for one in record["lengths"]
        ]
    )
    first = tried["length"].min()
    bars = pd.DataFrame(
        [
            {
                "cell": record["cell"],
                "first": first,
                "horizon": record["horizon"] or first,
                "unsolved": record["unsolved"] or record["horizon"],
                "told": horizon_entry(record).text,
            }
            for record in records
        ]
    )
    x_axis = log_axis(tried["length"], ticks=False)
    y = alt.Y("cell:N", title=None, sort=order)
    base = alt.Chart(bars).encode(y=y, color=palette.colour(), tooltip=tooltips("cell", told="horizon"))
    title = "length T of the task"
    bar = base.mark_bar(size=10, opacity=0.45).encode(x=alt.X("first:Q", title=title, **x_axis), x2="horizon:Q")
    gap = base.mark_rule(strokeWidth=2).encode(x=alt.X("horizon:Q", title=title), x2="unsolved:Q")
    outcomes = ["solved", "not solved"]
    shape = alt.Shape(
        "outcome:N",
        title="most seeds",
        scale=alt.Scale(domain=outcomes, range=["circle", "cross"]),
        legend=alt.Legend(symbolFillColor=QUIET),
    )
    marks = (
        alt.Chart(tried)
        .mark_point()
        .encode(
            y=y,
            x=alt.X("length:Q", title=title),
            color=palette.colour(),
            shape=shape,
            tooltip=tooltips("cell", "length", "outcome", seeds="seeds that solve it"),
        )
    )
    return alt.layer(bar, gap, marks)
