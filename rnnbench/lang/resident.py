"""The sizes of a persistent kernel, and what lies where in the shared memory of its blocks."""

from __future__ import annotations

from dataclasses import dataclass

from rnnbench.lang.exchange import Exchange
from rnnbench.lang.sizes import HIDDEN

# Values of a row that make one chunk of a reduction, as in kernels/primitives.py.
DEPTHS = {"float64": 2, "float32": 4, "tf32": 16, "bfloat16": 32, "float16": 32}
TENSOR = ("tf32", "bfloat16", "float16")
ITEMSIZE = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Spread:
    """How the threads of a block share one product of its rows by ``columns`` columns.

    ``splits`` parts of K, in turn a chunk each, ``rounds`` chunks a part. Of a part, row_lanes x column_lanes threads
    have an equal share of the results each; a tensor product has one warp a part, and both are 0.
    """

    columns: int
    splits: int
    rounds: int
    row_lanes: int
    column_lanes: int


@dataclass(frozen=True)
class Width:
    """Of one size, the ``count`` units that a part has, and the ``units`` of them that a block has at most."""

    size: str
    count: int
    units: int


@dataclass(frozen=True)
class Places:
    """Where parts of a block's shared memory begin, in bytes: what is published, partial sums of products, arguments of
    operations over units, matrix states, and where it ends. Weights lie before them."""

    published: int
    sums: int
    arguments: int
    matrices: int
    end: int


@dataclass(frozen=True)
class Shape:
    """Sizes of a persistent kernel: ``blocks`` share one group of ``rows`` rows of one of ``parts`` parts of the units,
    which never read one another.

    ``widths`` are those of each size that differs, H first. ``precision`` is what is multiplied: the dtype, or tf32,
    bfloat16 or float16. ``spreads`` belong to the products of the kernel, in order. ``depth`` is the longest K with
    padding. ``in_registers`` keeps weights of tensor products there.
    """

    widths: tuple[Width, ...]
    rows: int
    blocks: int
    parts: int
    threads: int
    precision: str
    depth: int
    spreads: tuple[Spread, ...]
    in_registers: bool

    @property
    def tensor(self) -> bool:
        """Whether tensor cores multiply."""
        return self.precision in TENSOR

    @property
    def dtype(self) -> str:
        """The dtype of everything that is not multiplied."""
        return "float64" if self.precision == "float64" else "float32"

    @property
    def units(self) -> int:
        """The units of a block, of the size that has most."""
        return max(width.units for width in self.widths)

    def width(self, size: str) -> Width:
        """Return the width of a size."""
        return next(width for width in self.widths if width.size == size)

    def each(self, heads: int) -> int:
        """Return the units of one of a program's heads."""
        return self.width(HIDDEN).count * self.parts // heads

    def weights(self, shown: Exchange) -> tuple[int, ...]:
        """Return where each product's weights begin among a block's, and at last where they end."""
        places = [0]
        for product, spread in zip(shown.products, self.spreads, strict=True):
            chunks = spread.splits * spread.rounds
            places.append(places[-1] + len(product.operands) * chunks * spread.columns * DEPTHS[self.precision])
        return tuple(places)

    def matrix_values(self, heads: int) -> int:
        """Return the values of a block's part of one row of a matrix state; rows of keys have an odd length, so that
        threads which read one under the other find them in different banks."""
        each = self.each(heads)
        return heads // self.parts * each * (each | 1)

    def shared(self, shown: Exchange) -> Places:
        """Return what lies where in a block's shared memory; what is published only if one block has all units."""
        size, of_value = ITEMSIZE[self.precision], ITEMSIZE[self.dtype]
        first = 0 if self.in_registers else _whole(self.weights(shown)[-1] * size)
        operands, sides = (len(shown.operands), 2) if self.blocks == 1 else (0, 1)
        second = first + _whole(2 * operands * self.rows * self.depth * size)
        sums: dict[int, int] = {}
        for product, spread in zip(shown.products, self.spreads, strict=True):
            sums[product.tile] = sums.get(product.tile, 0) + spread.splits * self.rows * spread.columns
        third = second + _whole(max(sums.values(), default=0) * of_value)
        arguments = sides * len(shown.arguments) * self.rows * self.width(HIDDEN).units
        fourth = third + _whole(arguments * of_value)
        matrices = sum(self.rows * self.matrix_values(heads) for _, heads in shown.matrices)
        return Places(first, second, third, fourth, fourth + matrices * of_value)

    def published_sums(self, shown: Exchange) -> tuple[int, ...]:
        """Return where what each sum over units publishes begins in a row, and at last where it ends.

        For each head it has one value of every block, filled up to whole vectors.
        """
        places, vector = [0], 16 // ITEMSIZE[self.dtype]
        for _, heads in shown.sums:
            places.append(places[-1] + heads // self.parts * -(-self.blocks // vector) * vector)
        return tuple(places)


def _whole(size: int) -> int:
    return -(-size // 16) * 16
