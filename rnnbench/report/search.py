"""How a sweep made its cells comparable: the sizes that it matched, and the learning rates that it searched for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from rnnbench.report.figure import Figure, file_stem, log_axis, tooltips
from rnnbench.report.palette import Palette
from rnnbench.report.quantities import listed, number, whole
from rnnbench.report.section import Evidence, Section, some
from rnnbench.report.tables import Column, Entry, Table, table

Record = Mapping[str, Any]

SEARCHED = (
    "Every cell had the same number of rates to try on each task, each with the same budget, on seeds that are not "
    "among those reported. Validation alone decides: a rate that solves the task is the better the sooner it does, and "
    "better than any that does not; those go by their loss at the end. The reported trials were trained with the rate "
    "chosen."
)


def search_section(evidence: Evidence) -> Section:
    """Return what a sweep decided before the trials that it reports."""
    searches, matches = _newest(evidence.records, "search"), _newest(evidence.records, "match")
    return Section(
        "search",
        "Learning rates and sizes",
        text=[SEARCHED] if searches else (),
        figures=search_figures(searches, evidence.palette),
        tables=some(search_table(searches)) + some(match_table(matches)),
    )


def search_table(records: Iterable[Record]) -> Table | None:
    """Return a row for each search: the rate chosen, what it gave, and every rate that was tried."""
    held = _newest(records, "search")
    frame = pd.DataFrame({"record": held})
    columns: list[Column] = [
        ("task", _of("task"), None),
        ("T", _of("length"), whole),
        ("cell", _of("cell"), None),
        ("H", _of("hidden"), whole),
        ("learning rate", lambda row: Entry(_rate(row["record"]), row["record"]["learning_rate"]), number),
        ("with it", lambda row: _outcome(row["record"], _best(row["record"])), number),
        ("trials", lambda row: len(row["record"]["tried"]) * len(row["record"]["settings"]["seeds"]), whole),
        ("steps each", _of("steps"), whole),
        ("every rate tried, with its loss or how soon it solved", lambda row: _curve(row["record"]), None),
    ]
    ends = sorted({f"{one['settings']['low']:g} to {one['settings']['high']:g}" for one in held})
    caption = (
        f"Rates between {listed(ends)}. One that was chosen at an end of its range is marked: the best may lie beyond."
    )
    return table("search", "Learning rates", caption, frame, columns)


def match_table(records: Iterable[Record]) -> Table | None:
    """Return a row for each matched size: the target, what the cell has, and the miss."""
    frame = pd.DataFrame({"record": _newest(records, "match")})
    columns: list[Column] = [
        ("task", _of("task"), None),
        ("T", _of("length"), whole),
        ("cell", _of("cell"), None),
        ("matched by", _of("by"), None),
        ("H", _of("hidden"), whole),
        ("target", _of("target"), number),
        ("reached", _of("reached"), number),
        ("miss", lambda row: Entry(f"{row['record']['miss']:+.1%}", abs(row["record"]["miss"])), number),
        ("reference", _of("reference"), None),
    ]
    caption = (
        "The hidden size at which a cell comes nearest to the reference: in parameters of the whole model, in numbers "
        "carried from step to step, or in the time of a training step, as a multiple of the reference's in the same "
        "rounds."
    )
    return table("match", "Matched sizes", caption, frame, columns)


def search_figures(records: Iterable[Record], palette: Palette) -> list[Figure]:
    """Return a figure for each task and length searched at: how each rate came out, a line for each cell."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in _newest(records, "search"):
        groups.setdefault((record["task"], record["length"]), []).append(record)
    return [_figure(task, length, group, palette) for (task, length), group in groups.items()]


def _figure(task: str, length: int, records: Sequence[Record], palette: Palette) -> Figure:
    # What diverged has no height: it is drawn at the top.
    finite = [value for record in records for _, value in record["tried"] if value is not None]
    top = max([*finite, 0.0])
    data: Any = pd.DataFrame(
        [
            {
                "cell": record["cell"],
                "rate": rate,
                "value": top if value is None else value,
                "told": _outcome(record, value).text,
                "chosen": rate == record["learning_rate"],
            }
            for record in records
            for rate, value in record["tried"]
        ]
    )
    x = alt.X("rate:Q", title="learning rate", **log_axis(data["rate"], ticks=False))
    y = alt.Y("value:Q", title="validation loss; below 0 solved")
    base = alt.Chart(data).encode(x=x, y=y, color=palette.colour(data["cell"]))
    points = base.mark_point().encode(
        shape=palette.shape(data["cell"]),
        size=alt.Size("chosen:N", scale=alt.Scale(domain=[False, True], range=[40, 170]), legend=None),
        tooltip=tooltips("cell", told="with it", rate="learning rate"),
    )
    title = f"{task} at T={length}: the search for a learning rate"
    caption = (
        "Validation loss at the end of each trial of the search. Of a trial that solved the task the height is the "
        "share of the budget that it took, less 1: the lower, the sooner. Diverged trials lie at the top. Large: the "
        "rate that was chosen."
    )
    return Figure(
        file_stem(f"search_{task}_{length}"), title, caption, alt.layer(base.mark_line(), points), 300, {"task": task}
    )


def _newest(records: Iterable[Record], kind: str) -> list[Record]:
    """Return the records of a kind by task, length and cell; of several that were asked the same, the newest."""
    asked = {"match": ("by", "reference", "target"), "search": ("hidden", "steps", "settings")}[kind]
    found: dict[str, Record] = {}
    for record in sorted((one for one in records if one["kind"] == kind), key=lambda one: str(one.get("created", ""))):
        found[repr([record[name] for name in ("task", "length", "cell", *asked)])] = record
    return sorted(found.values(), key=lambda one: (one["task"], one["length"], one["cell"]))


def _of(name: str) -> Any:
    return lambda row: row["record"][name]


def _best(record: Record) -> float | None:
    return next(value for rate, value in record["tried"] if rate == record["learning_rate"])


def _rate(record: Record) -> str:
    rates = [rate for rate, _ in record["tried"]]
    at_end = record["learning_rate"] in (min(rates), max(rates))
    return f"{record['learning_rate']:g}{' (end of the range)' if at_end else ''}"


def _outcome(record: Record, value: float | None) -> Entry:
    """Return what a rate came to, in words; see ``rnnbench.trials.search.badness``."""
    if value is None:
        return Entry("diverged", None)
    if len(record["settings"]["seeds"]) > 1:
        return Entry(f"{number(value)} on average", value)
    steps = whole(round((value + 1) * record["steps"]))
    return Entry(f"loss {number(value)}" if value > 0 else f"solved in {steps} steps", value)


def _curve(record: Record) -> str:
    return "; ".join(f"{rate:g}: {_outcome(record, value).text}" for rate, value in sorted(record["tried"], key=_first))


def _first(pair: Sequence[Any]) -> float:
    return pair[0]
