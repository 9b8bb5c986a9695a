"""What ``rnnbench speed`` measures: the shapes and cells of its rows, who takes part, and the rows of the null test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.cli.plan import MODES, counted
from rnnbench.cli.presets import Sizes
from rnnbench.errors import RnnbenchError, positive, unknown

if TYPE_CHECKING:
    from rnnbench.measure.speed import SpeedQuestion

CPU = "rnnbench.cpu"
# The three cells of which every library has an implementation of its own.
MAIN_CELLS = ("elman_tanh", "gru", "lstm")
# With which the other dense cells are compared per floating-point operation.
YARDSTICK = "lstm"
# (T, B, I, H): one sequence at a time; batches as in training; long and narrow; and one that fits no vector or tile.
SHAPES: dict[str, tuple[Sizes, ...]] = {
    "latency": ((100, 1, 64, 64), (100, 1, 128, 256), (50, 1, 512, 512)),
    "training": ((100, 32, 32, 64), (100, 32, 128, 128), (100, 64, 256, 256), (50, 64, 512, 512)),
    "long": ((1000, 32, 2, 128),),
    "odd": ((97, 7, 13, 53),),
}
# The null test: one shape of a kind, in the mode that the kind is about.
NULL_TEST: dict[str, tuple[Sizes, str]] = {
    "latency": ((100, 1, 64, 64), "forward"),
    "training": ((100, 32, 128, 128), "training"),
    "long": ((1000, 32, 2, 128), "training"),
}


@dataclass(frozen=True)
class SpeedPlan:
    """The rows in the order in which they are measured, those with the same contenders together.

    ``null``: the rows of the null test, two processes of the same kernel. ``absent``: peers that are asked for and
    cannot be used here, each with the reason.
    """

    cells: tuple[str, ...]
    rows: "tuple[SpeedQuestion, ...]"
    null: "tuple[SpeedQuestion, ...]"
    peers: tuple[str, ...]
    absent: Mapping[str, str]
    threads: int

    def __str__(self) -> str:
        against = f"against {', '.join(self.peers)}" if self.peers else "without peers"
        return (
            f"{counted(len(self.cells), 'cell')}, {counted(len(self.rows), 'row')} {against}, "
            f"{counted(len(self.null), 'row')} of the null test"
        )


def parse_shapes(names: Sequence[str]) -> tuple[Sizes, ...]:
    """Return the shapes that ``names`` stand for: kinds such as "latency", or sizes written TxBxIxH; () means all."""
    from rnnbench.measure.time import checked_sizes

    chosen: list[Sizes] = []
    for name in names or tuple(SHAPES):
        parts = name.lower().split("x")
        if name in SHAPES:
            chosen += SHAPES[name]
        elif len(parts) == 4 and all(part.isdecimal() for part in parts):
            chosen.append(checked_sizes([int(part) for part in parts]))
        else:
            raise RnnbenchError(
                f"--shapes takes {', '.join(SHAPES)} or sizes written TxBxIxH, such as 100x32x128x128, got {name!r}"
            )
    return tuple(dict.fromkeys(chosen))


def parse_modes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the modes in ``names``, each once; () means both."""
    for name in names:
        if name not in MODES:
            raise unknown("mode", name, MODES)
    return tuple(dict.fromkeys(names)) or MODES


def parse_cells(names: Sequence[str]) -> tuple[str, ...]:
    """Return the cells in ``names``, each once: () means the RNN, GRU and LSTM, "all" these and then every other."""
    from rnnbench.cells import cells, get_cell

    chosen = dict.fromkeys(names or MAIN_CELLS)
    if "all" in chosen:
        chosen = dict.fromkeys((*MAIN_CELLS, *cells(), *(name for name in chosen if name != "all")))
    for cell in chosen:
        get_cell(cell).trace()  # equations that cannot be read are found here, and not in a worker
    return tuple(chosen)


def parse_peers(names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the peers that can be used here and, of those in ``names``, the others with the reason.

    () or "all" means every peer that is installed, "none" none; the dotted path of a module is a peer of the reader's
    own. Raises RnnbenchError for an unknown peer, and for one that is named and cannot be used here.
    """
    from rnnbench.measure.contender import adapter
    from rnnbench.peers import peers

    if "none" in names:
        if len(names) > 1:
            raise RnnbenchError(f"--peers none stands alone, got {', '.join(names)}")
        return (), {}
    if not names or "all" in names:
        states = peers()
        present = tuple(name for name, reason in states.items() if reason is None)
        return present, {name: reason for name, reason in states.items() if reason is not None}
    for name in names:
        reason = adapter(name).unavailable_reason()
        if reason is not None:
            raise RnnbenchError(f"peer {name} cannot be used here: {reason}")
    return tuple(dict.fromkeys(names)), {}


def make_speed_plan(
    cells: Sequence[str] = (),
    shapes: Sequence[str] = (),
    modes: Sequence[str] = (),
    peers: Sequence[str] = (),
    threads: int | None = None,
    samples: int = 30,
    max_seconds: float = 10.0,
    seed: int = 0,
    engine: str = "cpu",
) -> SpeedPlan:
    """Return what a run of ``rnnbench speed`` measures, every argument checked: see the command's options."""
    from rnnbench.cells import get_cell
    from rnnbench.engines import get_engine
    from rnnbench.measure import available_cores
    from rnnbench.measure.limit_contender import GEMM
    from rnnbench.measure.speed import SpeedQuestion

    if samples < 2:
        raise RnnbenchError(f"--samples must be at least 2, or there is no interval, got {samples}")
    if not max_seconds > 0:
        raise RnnbenchError(f"--max-seconds must be above 0, got {max_seconds:g}")
    get_engine(engine)
    ours = f"rnnbench.{engine}"
    second = f"{ours}#2"
    # The machine's own matrix product is a limit of the CPU.
    limits = (GEMM,) if ours == CPU else ()
    threads = available_cores() if threads is None else positive("--threads", threads)
    sizes, wanted = parse_shapes(shapes), parse_modes(modes)
    chosen = parse_cells(cells)
    present, absent = parse_peers(peers)
    rows = []
    for mode in wanted:
        for cell in chosen:
            able = _able(cell, mode, present)
            other_dense = cell not in MAIN_CELLS and get_cell(cell).recurrence == "dense"
            beside = {second: YARDSTICK} if other_dense else {}
            contenders = (ours, *beside, *able, *limits)
            rows += [
                SpeedQuestion(cell, one, mode, contenders, threads, samples, max_seconds, beside, seed=seed)
                for one in sizes
            ]
    order = list(dict.fromkeys(row.contenders for row in rows))
    rows.sort(key=lambda row: order.index(row.contenders))
    tested = YARDSTICK if YARDSTICK in chosen else chosen[0]
    null = tuple(
        SpeedQuestion(tested, one, mode, (ours, second), threads, samples, max_seconds, seed=seed)
        for one, mode in _null_shapes(sizes, wanted)
    )
    return SpeedPlan(chosen, tuple(rows), null, present, absent, threads)


def _able(cell: str, mode: str, present: Sequence[str]) -> tuple[str, ...]:
    from rnnbench.measure.contender import adapter

    return tuple(name for name in present if adapter(name).supports(cell, mode == "training") is None)


def _null_shapes(sizes: Sequence[Sizes], modes: Sequence[str]) -> list[tuple[Sizes, str]]:
    """Return shape and mode of each null test: those of NULL_TEST that are measured, or else the first row's."""
    chosen = [(one, mode) for one, mode in NULL_TEST.values() if one in sizes and mode in modes]
    return chosen or [(sizes[0], modes[0])]
