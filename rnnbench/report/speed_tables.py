"""The tables of ``rnnbench speed``: what was aimed for and reached, a row for each cell and shape, the null test."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from rnnbench.report import frames
from rnnbench.report.quantities import listed, number, percent, seconds, size, times, whole
from rnnbench.report.speed import (
    MAIN_CELLS,
    MODES,
    YARDSTICK,
    NullTest,
    SpeedRow,
    noise_floor,
    null_tests,
    peer_names,
    speed_rows,
    standing,
)
from rnnbench.report.tables import Column, Entry, Table, table
from rnnbench.report.verdict import Answer

WORDS = {"training": "training", "forward": "inference"}
# Against the best peer of each row: geometric mean over all rows of the main cells, and the lowest of them.
MEAN_AIMS = {"training": 3.5, "forward": 1.5}
LOWEST_AIMS = {"training": 1.05, "forward": 0.95}
# Of the machine's matrix product, for dense cells from this batch and hidden size on.
SHARE_AIMS = {"training": 0.75, "forward": 0.85}
WIDE = (32, 128)
# Of every other dense cell: time for a floating-point operation over the LSTM's, and speed-up over the libraries in
# which such cells are written as a loop.
PER_FLOP_AIM = 1.3
LOOP_PEERS = ("jax", "torchrecurrent")
LOOP_AIM = 5.0
LOOP_SHAPE = (100, 32, 128, 128)
# Of elementwise and linear cells: the bytes that must move in a second over what memory delivers, where bytes bound it.
MEMORY_AIM = 0.5
NOISE_FLOOR = "Noise floor"
_NOT_OF_BYTES = ("compute-bound", "latency-bound")


def speed_tables(records: Iterable[Mapping[str, Any]], brief: bool = False) -> list[Table]:
    """Return the tables on the speed records among ``records``, none where there are none.

    ``brief``: for a terminal, without memory and without a column for each peer, of which only the fastest is named.
    """
    records = list(records)
    rows, tests = speed_rows(records), null_tests(records)
    found = [
        _aims_table(rows),
        _rows_table([row for row in rows if row.cell in MAIN_CELLS], brief),
        _others_table([row for row in rows if row.cell not in MAIN_CELLS], brief),
        _null_table(tests),
        _missing_table(rows),
    ]
    return [one for one in found if one is not None]


def speed_answers(records: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """Return, for training and inference, how fast the main cells are against the best peer, and the noise floor."""
    records = list(records)
    rows = speed_rows(records)
    found = []
    for mode in MODES:
        held = standing(rows, mode)
        if held is None:
            continue
        low = held.lowest
        assert low.ratio is not None
        ratios = [row.ratio for row in rows if row.mode == mode and row.cell in MAIN_CELLS and row.ratio]
        slower, surely = (
            sum(end < 1 for end in ends) for ends in zip(*((r.ratio, r.high) for r in ratios), strict=True)
        )
        told = (
            f"Geometric mean over {held.rows} rows of {listed(list(MAIN_CELLS))} of the time of the fastest other "
            f"library over ours. The lowest is {times(*low.ratio)}: {low.cell} at {low.shape} against {low.best_peer}. "
        )
        told += f"In {slower} of the rows another library is faster, in {surely} by its whole interval."
        found.append(Answer(WORDS[mode].capitalize(), f"{number(held.mean)}×", told))
    floor = noise_floor(null_tests(records))
    if floor is not None:
        told = "A kernel against itself, in two processes that take turns: differences up to this size mean nothing."
        found.append(Answer(NOISE_FLOOR, f"±{number(floor * 100, 2)}%", told))
    return found


def speed_headline(records: Iterable[Mapping[str, Any]]) -> str | None:
    """Return how fast the main cells are against the best peer in one sentence, or None where no peer was timed."""
    rows = speed_rows(records)
    held = [found for mode in MODES if (found := standing(rows, mode)) is not None]
    if not held:
        return None
    told = listed([f"{number(one.mean)} times as fast in {WORDS[one.mode]}" for one in held])
    counted = sum(one.rows for one in held)
    return (
        f"Against the fastest other library of each row these kernels are {told}: geometric means over {counted} rows "
        f"of {listed(list(MAIN_CELLS))}."
    )


def _aims_table(rows: Sequence[SpeedRow]) -> Table | None:
    held = []
    for mode in MODES:
        word, found = WORDS[mode], standing(rows, mode)
        if found is not None and found.lowest.ratio is not None:
            aim = f"{word}: geometric mean of best peer / ours over RNN, GRU and LSTM"
            held.append(_aim(aim, found.mean, MEAN_AIMS[mode], times, f"{found.rows} rows"))
            value = found.lowest.ratio.ratio
            held.append(_aim(f"{word}: lowest of these rows", value, LOWEST_AIMS[mode], times, _about(found.lowest)))
    for mode in MODES:
        wide = [row for row in rows if row.mode == mode and row.sizes[1] >= WIDE[0] and row.sizes[3] >= WIDE[1]]
        shares = [(row.share.ratio, row) for row in wide if row.share and row.recurrence == "dense"]
        if shares:
            share, row = min(shares, key=lambda one: one[0])
            at = f"dense cells at B ≥ {WIDE[0]}, H ≥ {WIDE[1]}"
            aim = f"{WORDS[mode]}: lowest share of the matrix product's rate, {at}"
            held.append(_aim(aim, share, SHARE_AIMS[mode], percent, _about(row)))
    dense = [row for row in rows if row.cell not in MAIN_CELLS and row.recurrence == "dense"]
    costs = [(row.per_flop.ratio, row) for row in dense if row.per_flop]
    if costs:
        cost, row = max(costs, key=lambda one: one[0])
        aim = "other dense cells: highest time for a floating-point operation over the LSTM's"
        held.append(_aim(aim, cost, PER_FLOP_AIM, times, _about(row), at_most=True))
    loops = [(_loop_ratio(row), row) for row in dense if row.sizes == LOOP_SHAPE]
    known = [(ratio, row) for ratio, row in loops if ratio is not None]
    if known:
        ratio, row = min(known, key=lambda one: one[0])
        aim = f"other dense cells: lowest best of {listed(list(LOOP_PEERS))} / ours at {row.shape}"
        held.append(_aim(aim, ratio, LOOP_AIM, times, _about(row)))
    light = [row for row in rows if row.recurrence != "dense" and row.bound and row.bound not in _NOT_OF_BYTES]
    moving = [(row.of_memory, row) for row in light if row.of_memory]
    if moving:
        share, row = min(moving, key=lambda one: one[0])
        aim = "elementwise and linear cells: lowest share of the memory's bandwidth, of rows that bytes bound"
        held.append(_aim(aim, share, MEMORY_AIM, percent, _about(row)))
    columns: list[Column] = [("what", "what", None), ("aim", "bound", None), ("reached", "reached", number)]
    columns += [("met", "met", None), ("where", "where", None)]
    caption = "What the kernels are meant to reach. Where it is one row that counts, the one that is furthest from it."
    return table("aims", "Aims", caption, pd.DataFrame(held), columns)


def _aim(
    what: str, value: float, aim: float, form: Callable[[float], str], where: str, at_most: bool = False
) -> dict[str, Any]:
    met = value <= aim if at_most else value >= aim
    bound = f"{'≤' if at_most else '≥'} {form(aim)}"
    reached = Entry(form(value), value)
    return {"what": what, "bound": bound, "reached": reached, "met": "yes" if met else "no", "where": where}


def _about(row: SpeedRow) -> str:
    return f"{row.cell}, {WORDS[row.mode]}, {row.shape}"


def _loop_ratio(row: SpeedRow) -> float | None:
    """Return the median of the fastest library that runs such a cell as a loop, over ours."""
    loops = [median for peer, median in row.peers.items() if peer in LOOP_PEERS]
    return min(loops) / row.median if loops and row.median else None


def _rows_table(rows: Sequence[SpeedRow], brief: bool) -> Table | None:
    columns = [*_leading(), ("GFLOP/s", lambda row: _giga(row["row"].rate), number), *_limits(), *_memory(brief)]
    columns += _peers(rows, brief)
    caption = (
        "Medians of samples that were taken in turns, each contender in a process of its own. Best peer / ours: the "
        "time of the fastest other library over ours, from paired samples with its 95% interval; below 1 it is faster. "
        "GFLOP/s: of the products alone; training counts three times the forward. Share of SGEMM: of the rate of a "
        "large matrix product on the same threads in the same rounds. Bound: what allows no more on this machine by "
        "its roofline (multiply-adds, bytes from a level of the caches or from memory, or one step that waits for the "
        "one before), and how much of that is reached. Workspace: bytes that our call holds beside arguments "
        "and results. Kept a step: values that training keeps for each unit of each sequence, states among them."
    )
    return table("speed", "Speed of RNN, GRU and LSTM", caption, _frame(rows), columns)


def _others_table(rows: Sequence[SpeedRow], brief: bool) -> Table | None:
    columns = [
        *_leading(),
        ("recurrence", lambda row: row["row"].recurrence, None),
        ("GFLOP/s", lambda row: _giga(row["row"].rate) if row["row"].recurrence == "dense" else None, number),
        (f"time per FLOP / {YARDSTICK}'s", lambda row: _ratio(row["row"].per_flop), number),
        ("GB/s", lambda row: None if row["row"].recurrence == "dense" else _giga(row["row"].bandwidth), number),
        ("of memory's", lambda row: None if row["row"].recurrence == "dense" else row["row"].of_memory, percent),
        *_limits(),
        *_memory(brief),
        *_peers(rows, brief),
    ]
    caption = (
        f"As above. Time per FLOP: for a floating-point operation of the products, over that of our {YARDSTICK} at the "
        "same shape in the same rounds (dense cells). GB/s: what a call must read and write, over its time, and as a "
        "part of what memory delivers (elementwise and linear cells)."
    )
    return table("speed_others", "Speed of other cells", caption, _frame(rows), columns)


def _frame(rows: Sequence[SpeedRow]) -> frames.Frame:
    return pd.DataFrame({"row": list(rows)})


def _leading() -> list[Column]:
    """Return the columns that both tables begin with: what the row is, our time, and the best peer against it."""
    return [
        ("cell", lambda row: row["row"].cell, None),
        ("mode", lambda row: WORDS[row["row"].mode], None),
        ("T×B×I×H", lambda row: Entry(row["row"].shape, f"{row['row'].sizes}"), None),
        ("ours", lambda row: _ours(row["row"]), seconds),
        ("best peer", lambda row: row["row"].best_peer, None),
        ("best peer / ours (95% interval)", lambda row: _ratio(row["row"].ratio), number),
    ]


def _limits() -> list[Column]:
    return [
        ("share of SGEMM", lambda row: row["row"].share.ratio if row["row"].share else None, percent),
        ("bound", lambda row: row["row"].bound, None),
        ("reached of it", lambda row: row["row"].reached, percent),
    ]


def _memory(brief: bool) -> list[Column]:
    """Return the columns of what our call holds, none if ``brief``."""
    if brief:
        return []
    return [
        ("workspace", lambda row: row["row"].workspace, size),
        ("kept a step", lambda row: row["row"].saved if row["row"].mode == "training" else None, whole),
    ]


def _peers(rows: Sequence[SpeedRow], brief: bool) -> list[Column]:
    """Return a column for the time of each peer, none if ``brief``."""
    shown = [] if brief else peer_names(rows)
    return [(peer, lambda row, peer=peer: _median(row["row"].peers.get(peer)), seconds) for peer in shown]


def _ours(row: SpeedRow) -> Entry:
    return _median(row.median) or Entry("not timed", None)


def _median(value: float | None) -> Entry | None:
    return None if value is None else Entry(seconds(value), value)


def _ratio(ratio: Any) -> Entry | None:
    return None if ratio is None else Entry(times(*ratio), ratio.ratio)


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9


def _null_table(tests: Sequence[NullTest]) -> Table | None:
    columns: list[Column] = [
        ("cell", lambda row: row["test"].cell, None),
        ("mode", lambda row: WORDS[row["test"].mode], None),
        ("T×B×I×H", lambda row: row["test"].shape, None),
        ("second process / first (95% interval)", lambda row: _ratio(row["test"].ratio), number),
    ]
    caption = "The same kernel in two processes, timed as two contenders: what is found here between equals is noise."
    return table("null", "Null test", caption, pd.DataFrame({"test": list(tests)}), columns)


def _missing_table(rows: Sequence[SpeedRow]) -> Table | None:
    """Return who failed in which rows, and which peers took part in none, with the reason.

    That a peer lacks some of the cells is no news: the other tables have a dash there.
    """
    places: dict[tuple[str, str], list[SpeedRow]] = {}
    for row in rows:
        for name, reason in row.excluded.items():
            places.setdefault((name, reason), []).append(row)
    taking_part = {name for row in rows for name in (*row.peers, *row.excluded)}
    held = [{"contender": name, "reason": reason, "rows": _places(at)} for (name, reason), at in places.items()]
    absent = {name: reason for row in rows for name, reason in row.absent.items() if name not in taking_part}
    held += [{"contender": name, "reason": reason, "rows": "all"} for name, reason in absent.items()]
    columns: list[Column] = [("contender", "contender", None), ("why it has no time", "reason", None)]
    columns += [("rows", "rows", None)]
    return table("missing", "Not timed", "Contenders that failed or are not here.", pd.DataFrame(held), columns)


def _places(rows: Sequence[SpeedRow]) -> str:
    return _about(rows[0]) if len(rows) == 1 else f"{len(rows)}, the first {_about(rows[0])}"
