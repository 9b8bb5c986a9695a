"""The rows of ``rnnbench speed``: what the samples of one contest say, and what all rows say together."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnbench.cells import cell_of_record
from rnnbench.errors import RnnbenchError
from rnnbench.measure.limit_contender import GEMM, is_limit
from rnnbench.measure.ratio import Ratio, paired_ratio
from rnnbench.measure.roofline import Ceilings, Roofline, roofline
from rnnbench.report.frames import OURS

Records = Iterable[Mapping[str, Any]]
Sizes = tuple[int, int, int, int]

# Of these every library has an implementation of its own: the aims speak of them.
MAIN_CELLS = ("elman_tanh", "gru", "lstm")
YARDSTICK = "lstm"
MODES = ("training", "forward")


@dataclass(frozen=True)
class SpeedRow:
    """A cell at a shape in a mode: our time, the peers', and how both stand to each other and to the machine.

    ``median`` in seconds, None where our kernel was not timed; ``peers``: name -> median, the fastest first; ``ratio``:
    time of the fastest of them over ours; ``rate``: floating-point operations of the products per second; ``share``:
    of the rate of the machine's own matrix product, taken in the same rounds; ``per_flop``: our time for a
    floating-point operation over that of our LSTM in the same rounds; ``bandwidth``: bytes per second that must move,
    ``of_memory`` as a part of what memory delivers; ``workspace``: bytes that our call holds beside its arguments and
    results; ``saved``: values that training keeps for each unit, step and sequence; ``roof``: what bounds the call on
    this machine, None where its limits or the cell's equations are not known. ``excluded`` and ``absent``: contender ->
    why it has no time here.
    """

    cell: str
    sizes: Sizes
    mode: str
    threads: int
    dtype: str
    recurrence: str
    median: float | None
    samples: int
    peers: Mapping[str, float]
    ratio: Ratio | None
    rate: float | None
    share: Ratio | None
    per_flop: Ratio | None
    bandwidth: float | None
    of_memory: float | None
    workspace: int | None
    saved: int | None
    roof: Roofline | None
    excluded: Mapping[str, str]
    absent: Mapping[str, str]

    @property
    def best_peer(self) -> str | None:
        """The peer with the smallest median."""
        return next(iter(self.peers), None)

    @property
    def shape(self) -> str:
        """The sizes as "100×32×128×128"."""
        return "×".join(map(str, self.sizes))

    @property
    def bound(self) -> str | None:
        """What bounds the call: "compute-bound", "cache-bound (L2)", "memory-bound" or "latency-bound"."""
        return self.roof.bound if self.roof else None

    @property
    def reached(self) -> float | None:
        """The part of what that bound allows."""
        return self.roof.fraction(self.median) if self.roof and self.median else None


@dataclass(frozen=True)
class NullTest:
    """Two processes of the same kernel in one contest: how far from 1 their ratio is although nothing differs."""

    cell: str
    sizes: Sizes
    mode: str
    ratio: Ratio

    @property
    def shape(self) -> str:
        """The sizes as "100×32×128×128"."""
        return "×".join(map(str, self.sizes))


@dataclass(frozen=True)
class Standing:
    """All rows of the main cells in one mode: geometric mean of the ratios, and the row with the lowest."""

    mode: str
    rows: int
    mean: float
    lowest: SpeedRow


def speed_rows(records: Records) -> list[SpeedRow]:
    """Return a row for each cell, shape and mode, the newest of each: training first, main cells first."""
    records = list(records)
    limits = [record for record in records if record["kind"] == "limits"]
    rows = [_row(record, _ceilings(record, limits)) for record in _newest(records) if not _is_null(record)]

    def place(row: SpeedRow) -> tuple[Any, ...]:
        cell = MAIN_CELLS.index(row.cell) if row.cell in MAIN_CELLS else len(MAIN_CELLS)
        # By kind of work: single sequences first, then by the size of the problem.
        return MODES.index(row.mode), cell, row.cell, row.sizes[1] > 1, math.prod(row.sizes), row.sizes

    return sorted(rows, key=place)


def null_tests(records: Records) -> list[NullTest]:
    """Return what each null test found."""
    found = []
    for record in _newest(records):
        samples = [time["samples"] for time in record["times"]]
        if _is_null(record) and len(samples) == 2:
            ratio = paired_ratio(samples[1], samples[0])
            found.append(NullTest(record["cell"], _sizes(record), record["mode"], ratio))
    return found


def noise_floor(tests: Sequence[NullTest]) -> float | None:
    """Return the largest part by which a null test's interval reaches beyond 1, or None without a test."""
    ends = [abs(math.log(end)) for test in tests for end in (test.ratio.low, test.ratio.high)]
    return math.expm1(max(ends)) if ends else None


def standing(rows: Sequence[SpeedRow], mode: str) -> Standing | None:
    """Return how the main cells stand against the best peer of each row, or None where no peer was timed."""
    compared = [(row, row.ratio.ratio) for row in rows if row.mode == mode and row.cell in MAIN_CELLS and row.ratio]
    if not compared:
        return None
    mean = math.exp(np.mean([math.log(ratio) for _, ratio in compared]))
    lowest, _ = min(compared, key=lambda one: one[1])
    return Standing(mode, len(compared), mean, lowest)


def peer_names(rows: Sequence[SpeedRow]) -> list[str]:
    """Return every peer that was timed in any of ``rows``, sorted."""
    return sorted({peer for row in rows for peer in row.peers})


def as_times(records: Records) -> list[dict[str, Any]]:
    """Return speed records as time records, one for each contender that ran the row's own cell once."""
    found = []
    for record in _newest(records):
        if _is_null(record):
            continue
        shared = {name: record[name] for name in (*_SHARED, "schema", "created", "protocol", "where") if name in record}
        for time in record["times"]:
            if "#" not in time["contender"] and not is_limit(time["contender"]):
                found.append({**shared, "kind": "time", **time})
    return found


_SHARED = ("dtype", "T", "B", "I", "H", "mode", "threads")


def _newest(records: Records) -> list[Mapping[str, Any]]:
    """Return the speed records, of those that ask the same of the same cell the one made last."""
    held: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    speed = [record for record in records if record["kind"] == "speed"]
    for record in sorted(speed, key=lambda record: str(record.get("created", ""))):
        held[record["cell"], _is_null(record), *(record[name] for name in _SHARED)] = record
    return list(held.values())


def _is_null(record: Mapping[str, Any]) -> bool:
    """Return whether a contest is one contender against itself."""
    contest = [(name.partition("#")[0], cell) for name, cell in record["contest"]]
    return len(contest) > 1 and len(set(contest)) == 1


def _sizes(record: Mapping[str, Any]) -> Sizes:
    return record["T"], record["B"], record["I"], record["H"]


def _ceilings(record: Mapping[str, Any], limits: Sequence[Mapping[str, Any]]) -> Ceilings | None:
    """Return the newest limits that were measured where the row was and with its threads and dtype."""
    fitting = [
        held
        for held in sorted(limits, key=lambda held: str(held.get("created", "")))
        if (held["threads"], held["dtype"]) == (record["threads"], record["dtype"])
        and held["where"].get("cpu") == record["where"].get("cpu")
    ]
    return Ceilings.of(fitting[-1]) if fitting else None


def _roof(record: Mapping[str, Any], ceilings: Ceilings) -> Roofline | None:
    try:
        program = cell_of_record(record["cell"]).program
    except RnnbenchError:  # a cell whose equations are not here
        return None
    return roofline(program, _sizes(record), record["mode"], ceilings)


def _row(record: Mapping[str, Any], ceilings: Ceilings | None) -> SpeedRow:
    own = beside = limit = None
    peers: dict[str, Mapping[str, Any]] = {}
    for time in record["times"]:
        name = time["contender"]
        if name == GEMM:
            limit = time
        elif not name.startswith(OURS):
            peers[name] = time
        elif time["cell"] == record["cell"]:
            own = own or time
        elif time["cell"] == YARDSTICK:
            beside = time
    ranked = sorted(peers, key=lambda name: peers[name]["median"])
    bandwidth = record["bytes"] / own["median"] if own else None
    return SpeedRow(
        cell=record["cell"],
        sizes=_sizes(record),
        mode=record["mode"],
        threads=record["threads"],
        dtype=record["dtype"],
        recurrence=record["recurrence"],
        median=own["median"] if own else None,
        samples=len(own["samples"]) if own else 0,
        peers={name: peers[name]["median"] for name in ranked},
        ratio=_paired(peers[ranked[0]], own) if own and ranked else None,
        rate=own["flops"] / own["median"] if own else None,
        share=_times_per_flop(limit, own) if own and limit else None,
        per_flop=_times_per_flop(own, beside) if own and beside else None,
        bandwidth=bandwidth,
        of_memory=bandwidth / ceilings.bandwidth["memory"] if bandwidth and ceilings else None,
        workspace=own.get("workspace_bytes") if own else None,
        saved=record.get("saved"),
        roof=_roof(record, ceilings) if ceilings else None,
        excluded=record["excluded"],
        absent=record["absent"],
    )


def _paired(above: Mapping[str, Any], below: Mapping[str, Any]) -> Ratio:
    """Return the ratio of two contenders' times over the rounds that both took part in, the first ones."""
    rounds = min(len(above["samples"]), len(below["samples"]))
    return paired_ratio(above["samples"][:rounds], below["samples"][:rounds])


def _times_per_flop(above: Mapping[str, Any], below: Mapping[str, Any]) -> Ratio:
    """Return the ratio of two contenders' times for one floating-point operation, paired by rounds."""
    ratio = _paired(above, below)
    factor = below["flops"] / above["flops"]
    return Ratio(*(factor * value for value in ratio))
