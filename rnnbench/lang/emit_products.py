"""Write one recurrent product of a persistent kernel: by ordinary multiply-adds, or by tensor cores.

Both end with partial sums in shared memory, ``[split][row][column]`` from ``place`` on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rnnbench.lang.emit import wrapped

if TYPE_CHECKING:
    from rnnbench.lang.emit_persistent import _Resident

# 16-byte loads of a thread that are on their way at a time: each takes four registers, of which a thread has 255, or
# half as many in a large block.
LOADS_AHEAD, LOADS_AHEAD_OF_LARGE, LARGE = 16, 6, 256


def rounds_at_once(rounds: int, loads: int, threads: int) -> int:
    """Return how many rounds of so many loads each a thread has on their way at a time."""
    return max(1, min(rounds, (LOADS_AHEAD if threads <= LARGE else LOADS_AHEAD_OF_LARGE) // loads))


def _operand_row(writer: _Resident, product: int, operand: int, row: str) -> tuple[str, str]:
    """Return where a row of an operand begins, and how it is loaded."""
    shape = writer.shape
    index = writer.operands.index(writer.products[product].operands[operand])
    operand_now = f"(now * {len(writer.operands)} + {index})"
    if writer.alone:
        return f"{writer.shown_at} + ({operand_now} * {shape.rows} + {row}) * {shape.depth}", ""
    return f"({operand_now} * published_rows + {writer.above}first + {row}) * {shape.depth}", "_published"


def _repeated(rounds: int, at_once: int, part: Callable[[int], list[str]], step: list[str]) -> list[str]:
    """Return the lines that run all rounds, ``at_once`` together; ``part(n)`` are those of n rounds."""
    whole, rest = divmod(rounds, at_once)
    lines = []
    if whole == 1:
        lines += [*part(at_once), *(step if rest else [])]
    elif whole:
        lines += [f"for _ in range({whole}):", *(f"    {line}" for line in (*part(at_once), *step))]
    return lines + (part(rest) if rest else [])


def simple_product(writer: _Resident, p: int, place: int) -> list[str]:
    """Return the lines of product ``p`` by multiply-adds of single values."""
    shape, spread, product = writer.shape, writer.shape.spreads[p], writer.products[p]
    depth = 16 // (8 if shape.dtype == "float64" else 4)
    row_tile, column_tile = shape.rows // spread.row_lanes, spread.columns // spread.column_lanes
    lanes = spread.row_lanes * spread.column_lanes
    rows, columns = range(row_tile), range(column_tile)
    zeros = ", ".join([writer.zero] * row_tile) + ("," if row_tile == 1 else "")
    lines = [f"s_{c} = ({zeros})" for c in columns]
    at_once = rounds_at_once(spread.rounds, row_tile, shape.threads)
    for o in range(len(product.operands)):
        start, suffix = _operand_row(writer, p, o, "lane_row")
        weights = writer.weights_at[p] + o * spread.splits * spread.rounds * spread.columns * depth
        lines += [
            f"a_at = {start} + split * {depth}",
            f"w_at = {weights} + (split * {spread.columns} + lane_column) * {depth}",
        ]
        source = writer.held if writer.alone else "published"

        def loads(i: int, source: str = source, suffix: str = suffix) -> list[str]:
            places = (i * spread.splits * depth + r * spread.row_lanes * shape.depth for r in rows)
            parts = [f"load{suffix or '_vector'}({source}, a_at + {place})" for place in places]
            return wrapped(f"a_{i} = ", "(", parts, ")").split("\n")

        def sums(i: int) -> list[str]:
            found = []
            for c in columns:
                at = (i * spread.splits * spread.columns + c * spread.column_lanes) * depth
                found += [
                    f"w = load_vector({writer.held}, w_at + {at})",
                    f"s_{c} = multiply_rows(a_{i}, w, s_{c})",
                ]
            return found

        step = [
            f"a_at += {at_once * spread.splits * depth}",
            f"w_at += {at_once * spread.splits * spread.columns * depth}",
        ]

        def part(count: int) -> list[str]:
            parts = (loads, sums)  # all loads first: they are on their way together
            return [line for lines_of in parts for i in range(count) for line in lines_of(i)]

        lines += _repeated(spread.rounds, at_once, part, step)
    for r in rows:
        row = f"(split * {shape.rows} + lane_row + {r * spread.row_lanes})"
        lines.append(f"at = {place} + {row} * {spread.columns} + lane_column")
        lines += [f"store_value(shared, at + {c * spread.column_lanes}, s_{c}[{r}])" for c in columns]
    return [
        f"split = thread // {lanes}",
        f"lane_row = thread % {lanes} // {spread.column_lanes}",
        f"lane_column = thread % {spread.column_lanes}",
        f"if split < {spread.splits}:",
        *(f"    {line}" for line in lines),
    ]


def tensor_product(writer: _Resident, p: int, place: int) -> list[str]:
    """Return the lines of product ``p`` by tensor cores: a warp takes all rows and columns of its part of K."""
    shape, spread, product = writer.shape, writer.shape.spreads[p], writer.products[p]
    depth = 16 if shape.precision == "tf32" else 32
    row_tiles, column_tiles = range(shape.rows // 16), range(spread.columns // 8)
    total = {(m, n): f"c_{m}_{n}" for m in row_tiles for n in column_tiles}
    zeros = ", ".join([writer.zero] * 4)
    lines = [f"{name} = ({zeros})" for name in total.values()]
    at_once = rounds_at_once(spread.rounds, 2 * len(row_tiles), shape.threads)
    if shape.in_registers:  # each round has its own
        at_once = spread.rounds
    source = writer.held if writer.alone else "published"
    for o in range(len(product.operands)):
        start, suffix = _operand_row(writer, p, o, "lane // 4")
        weights = writer.weights_at[p] + o * spread.splits * spread.rounds * spread.columns * depth
        lines += [
            f"a_at = {start} + warp * {depth} + lane % 4 * {depth // 4}",
            f"w_at = {weights} + warp * {spread.columns * depth} + lane * {depth // 4}",
        ]
        step = [
            f"a_at += {at_once * spread.splits * depth}",
            f"w_at += {at_once * spread.splits * spread.columns * depth}",
        ]

        def part(count: int, o: int = o, suffix: str = suffix) -> list[str]:
            found = []
            for i in range(count):
                for m in row_tiles:
                    for name, below in (("low", 0), ("high", 8)):
                        at = i * spread.splits * depth + (16 * m + below) * shape.depth
                        found.append(f"{name}_{i}_{m} = load{suffix}_fragment({source}, a_at + {at})")
            for i in range(count):
                for n in column_tiles:
                    w = writer.registers[p, o, i, n] if shape.in_registers else f"w_{n}"
                    if not shape.in_registers:
                        at = (i * spread.splits * spread.columns + 8 * n) * depth
                        found.append(f"{w} = load_fragment({writer.held}, w_at + {at})")
                    for m in row_tiles:
                        sum_of = total[m, n]
                        found.append(f"{sum_of} = multiply_{shape.precision}(low_{i}_{m}, high_{i}_{m}, {w}, {sum_of})")
            return found

        lines += _repeated(spread.rounds, at_once, part, step)
    for (m, n), name in total.items():
        at = f"(warp * {shape.rows} + {16 * m} + lane // 4) * {spread.columns} + {8 * n} + lane % 4 * 2"
        lines.append(f"at = {place} + {at}")
        for i, offset in enumerate((0, 1, 8 * spread.columns, 8 * spread.columns + 1)):
            lines.append(f"store_value(shared, at + {offset}, {name}[{i}])")
    return [
        "warp = thread // 32",
        "lane = thread % 32",
        f"if warp < {spread.splits}:",
        *(f"    {line}" for line in lines),
    ]
