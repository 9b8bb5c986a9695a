"""Which sizes a persistent kernel gets: how units and rows are shared among the multiprocessors of a GPU.

A small model of one step's time, in cycles, compares what fits. Its constants are those of data sheets, not tuned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from rnnbench.lang import Program, ops
from rnnbench.lang.emit_products import LARGE, rounds_at_once
from rnnbench.lang.exchange import Exchange, exchange, parts_of
from rnnbench.lang.resident import DEPTHS, ITEMSIZE, TENSOR, Shape, Spread, Width
from rnnbench.lang.sizes import HIDDEN

# Cycles of one barrier among blocks, and within one; cycles until a value comes from the second-level cache.
MEET, MEET_ALONE, LATENCY = 1700, 60, 600
# Of one multiprocessor and cycle: bytes from the second-level cache, bytes of shared memory, and multiply-adds.
FAR_BYTES, NEAR_BYTES = 32, 128
MULTIPLIES = {"float32": 128, "float64": 64, "tf32": 512, "bfloat16": 1024, "float16": 1024}
# Registers of a multiprocessor, of a thread at most, and of a thread for all but its products; and those of a thread
# that weights of tensor products may take.
REGISTERS, MOST_REGISTERS, OTHER_REGISTERS, WEIGHT_REGISTERS = 65536, 255, 64, 96
OF_VALUE = 2  # registers of a value that a step reads or writes beside its products
MOST_SUMS = 64 * 1024  # bytes of partial sums
MOST_RESULTS = 32  # that one thread adds up
MOST_GROUPS = 65535  # of a grid


@dataclass(frozen=True)
class Machine:
    """A GPU: ``processors``, and of each the shared memory in bytes that one block may take; the largest block."""

    processors: int
    shared: int
    threads: int


@dataclass(frozen=True)
class Tiling:
    """``shape`` of a kernel, and the groups of rows that run at the same time, or, where blocks wait for nobody, all
    groups."""

    shape: Shape
    groups: int
    shared_bytes: int
    cycles: float


def _divisors(size: int, most: int) -> list[int]:
    return [n for n in (1, 2, 4, 8) if n <= most and size % n == 0]


@lru_cache(maxsize=4096)
def spread(rows: int, columns: int, depth: int, threads: int, precision: str) -> Spread:
    """Return how ``threads`` share a product of ``rows`` by ``columns`` results over K = ``depth``."""
    chunks = -(-depth // DEPTHS[precision])
    if precision in TENSOR:
        columns = -(-columns // 8) * 8
        most = max(1, MOST_SUMS // (rows * columns * 4))
        splits = min(threads // 32, chunks, most)
        return Spread(columns, splits, -(-chunks // splits), 0, 0)
    best: tuple[float, Spread] | None = None
    size = ITEMSIZE[precision]
    for row_tile in _divisors(rows, 8):
        for column_tile in _divisors(columns, 8):
            lanes = rows // row_tile * (columns // column_tile)
            if lanes > threads or row_tile * column_tile > MOST_RESULTS:
                continue
            splits = max(1, min(threads // lanes, chunks, MOST_SUMS // (rows * columns * size)))
            found = Spread(columns, splits, -(-chunks // splits), rows // row_tile, columns // column_tile)
            cycles = product_cycles(rows, found, precision, threads)
            if best is None or cycles < best[0]:
                best = cycles, found
    assert best is not None
    return best[1]


def product_cycles(rows: int, s: Spread, precision: str, threads: int) -> float:
    """Return an estimate of the cycles in which a block forms one product and its sums, once its operand may be read.

    A multiprocessor begins four instructions a cycle, one for each of four warps at most; loads from the second-level
    cache are waited for once for every group of them that is on its way together.
    """
    if precision in TENSOR:
        row_tiles, column_tiles, warps = rows // 16, s.columns // 8, s.splits
        instructions = s.rounds * (2 * row_tiles + column_tiles * (1 + 8 * row_tiles)) + 6 * row_tiles * column_tiles
        loads = 2 * row_tiles
    else:
        row_tile, column_tile = rows // s.row_lanes, s.columns // s.column_lanes
        warps = -(-s.row_lanes * s.column_lanes * s.splits // 32)
        multiplies = row_tile * column_tile * DEPTHS[precision] * (128 // MULTIPLIES[precision])
        instructions = s.rounds * (multiplies + 4 * (row_tile + column_tile)) + 4 * row_tile * column_tile
        loads = row_tile
    issue = instructions * max(1.0, warps / 4)
    waits = -(-s.rounds // rounds_at_once(s.rounds, loads, threads))
    return issue + LATENCY * waits + s.splits * s.columns * rows / 32


def product_registers(rows: int, s: Spread, precision: str, threads: int, in_registers: bool) -> int:
    """Return an estimate of the registers that a thread needs for one product: its sums, and what is on its way."""
    if precision in TENSOR:
        row_tiles, column_tiles = rows // 16, s.columns // 8
        at_once = s.rounds if in_registers else rounds_at_once(s.rounds, 2 * row_tiles, threads)
        return 4 * row_tiles * column_tiles + 8 * row_tiles * at_once + 8
    row_tile, column_tile = rows // s.row_lanes, s.columns // s.column_lanes
    size = 2 if precision == "float64" else 1
    on_their_way = row_tile * rounds_at_once(s.rounds, row_tile, threads) + column_tile
    return row_tile * column_tile * size + 4 * on_their_way + 8


def _other_registers(shown: Exchange, precision: str) -> int:
    """Return an estimate of the registers that a thread needs for all but its products."""
    values = {stream for tile in shown.tiles for stream in tile.streams}
    return OTHER_REGISTERS + min(OF_VALUE * len(values), OTHER_REGISTERS) * (2 if precision == "float64" else 1)


def _shapes(
    shown: Exchange, counts: dict[str, int], parts: int, rows: int, precision: str, machine: Machine
) -> Iterator[Shape]:
    """Yield the shapes for groups of ``rows`` rows; ``counts`` are the units of each size that a part has."""
    seen, others = set(), _other_registers(shown, precision)
    most = 1 if shown.matrices else max(1, min(machine.processors // parts, max(counts.values())))
    for wanted in range(1, most + 1):
        widths = tuple(Width(size, count, -(-count // wanted)) for size, count in counts.items())
        units, width = max(w.units for w in widths), {w.size: w.units for w in widths}
        if widths in seen or units * rows > machine.threads:
            continue
        seen.add(widths)
        columns = [len(p.results) * width[p.size] for p in shown.products]
        if precision not in TENSOR and rows * max(columns, default=0) > MOST_RESULTS * machine.threads:
            continue
        blocks = max(-(-w.count // w.units) for w in widths)
        least = -(-units * rows // 32) * 32
        for threads in sorted({max(least, t) for t in (32, 64, 128, 256, 512) if max(least, t) <= machine.threads}):
            if precision not in TENSOR and not _can_spread(rows, columns, threads):
                continue
            inner = [max(counts[size] for size in p.inner) for p in shown.products]
            spreads = tuple(spread(rows, c, k, threads, precision) for c, k in zip(columns, inner, strict=True))
            depth = max((s.splits * s.rounds for s in spreads), default=0) * DEPTHS[precision]
            products = zip(shown.products, spreads, strict=True)
            weights = sum(len(p.operands) * s.rounds * s.columns // 2 for p, s in products)
            in_registers = precision in TENSOR and weights <= WEIGHT_REGISTERS and threads <= LARGE
            taken = others + (weights if in_registers else 0)
            taken += max((product_registers(rows, s, precision, threads, in_registers) for s in spreads), default=0)
            if taken > min(MOST_REGISTERS, REGISTERS // threads):
                continue
            yield Shape(widths, rows, blocks, parts, threads, precision, depth, spreads, in_registers)


def _can_spread(rows: int, columns: Sequence[int], threads: int) -> bool:
    """Tell whether the results of products of so many columns can be shared among the threads."""
    for count in columns:
        shares = [r * c for r in _divisors(rows, 8) for c in _divisors(count, 8) if r * c <= MOST_RESULTS]
        if rows * count // max(shares) > threads:
            return False
    return True


def cycles(shape: Shape, shown: Exchange) -> float:
    """Return an estimate of the cycles of one step of one group of rows of a part."""
    size, depth, alone = ITEMSIZE[shape.precision], shape.depth, shape.blocks == 1
    total = len(shown.barriers) * (MEET_ALONE if alone else MEET)
    for product, s in zip(shown.products, shape.spreads, strict=True):
        operands = len(product.operands)
        near = 0 if shape.in_registers else operands * s.splits * s.rounds * DEPTHS[shape.precision] * s.columns * size
        far = shape.rows * operands * depth * size
        moving = near / NEAR_BYTES + far / (NEAR_BYTES if alone else FAR_BYTES)
        total += max(moving, operands * product_cycles(shape.rows, s, shape.precision, shape.threads)) + 2 * MEET_ALONE
    turns = max(1.0, shape.units * shape.rows / 128)  # a multiprocessor begins four instructions a cycle
    for operation in shown.operations:
        each = shape.each(operation.heads)
        if operation.node.op not in ops.OVER_UNITS:
            total += each * turns * (6 if operation.result is None else 4)
        elif alone:
            total += each * turns * 2
        else:
            total += MEET_ALONE + LATENCY + shape.width(HIDDEN).units * 8 + shape.blocks * turns
    return total


@lru_cache(maxsize=512)
def choose(
    program: Program, kind: str, hidden: int, batch: int, precision: str, machine: Machine, heads: int = 1
) -> Tiling | str:
    """Return the tiling of a program's kernel of ``kind`` for ``batch`` rows, or why it does not fit, as a clause.

    ``heads`` is the number of blocks on the diagonal of all recurrent matrices.
    """
    shown = exchange(program, kind)
    most = parts_of(program, hidden, heads)
    # Blocks of threads may share the units of all parts, but not a matrix state.
    some = (most,) if shown.matrices else dict.fromkeys((most, 1))
    found = [_best(shown, hidden, batch, precision, machine, parts) for parts in some]
    fitting = [tiling for tiling in found if tiling is not None]
    if fitting:
        return min(fitting, key=lambda tiling: tiling.cycles)
    return _why_not(shown, hidden, most, precision, machine)


def _best(shown: Exchange, hidden: int, batch: int, precision: str, machine: Machine, parts: int) -> Tiling | None:
    """Return the fastest tiling of so many parts by the model, or None."""
    row_sizes = (16, 32, 64) if precision in TENSOR else (1, 2, 4, 8, 16, 32, 64)
    counts = {size: shown.program.units(size, hidden) // parts for size in shown.sizes}
    best: Tiling | None = None
    for rows in row_sizes:
        if rows > row_sizes[0] and rows >= 2 * batch:
            break
        for shape in _shapes(shown, counts, parts, rows, precision, machine):
            needed = shape.shared(shown).end
            if needed > machine.shared or (shape.blocks > 1 and shape.blocks * parts > machine.processors):
                continue
            groups = -(-batch // rows)
            if shape.blocks > 1:
                groups = min(groups, machine.processors // (shape.blocks * parts))
            groups = min(groups, MOST_GROUPS)
            waves = -(-batch // (rows * groups)) * -(-groups * parts * shape.blocks // machine.processors)
            time = waves * cycles(shape, shown)
            if best is None or time < best.cycles:
                best = Tiling(shape, groups, needed, time)
    return best


def _why_not(shown: Exchange, hidden: int, parts: int, precision: str, machine: Machine) -> str:
    """Return why no tiling fits, as a clause."""
    program = shown.program
    if shown.matrices:
        values = sum(hidden * (hidden // heads) for _, heads in shown.matrices) // parts
        size = values * ITEMSIZE["float64" if precision == "float64" else "float32"]
        return (
            f"matrix states of the {hidden // parts} units of a row that belong together take {size / 1e3:.0f} kB, and "
            f"must with all else of a step fit one multiprocessor, which has {machine.shared / 1e3:.0f} kB of shared "
            f"memory and {machine.threads} threads"
        )
    shapes = {name: program.shape(name, 1, hidden) for p in shown.products for names in p.matrices for name in names}
    values = sum(prod(shapes[name]) for p in shown.products for names in p.matrices for name in names)
    return (
        f"its recurrent weights take {values * ITEMSIZE[precision] / 1e6:.1f} MB in {precision}, and the "
        f"{machine.processors} multiprocessors have {machine.processors * machine.shared / 1e6:.1f} MB of shared "
        f"memory for them and all else of a step, in blocks of at most {machine.threads} threads"
    )
