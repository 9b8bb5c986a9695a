"""Lay out the memory of a call and write the plan that the time loops interpret (see kernels/sequence.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from types import ModuleType

import numpy as np

from rnnbench.lang import Program
from rnnbench.lang.ops import Node
from rnnbench.lang.tiles import Stream, Tile

LINE = 64  # bytes of a cache line
# Rows (steps x batch) of a backward chunk. Threads wait for one another twice a chunk, which on shared cores costs
# milliseconds when one of them is not running; a larger chunk holds more gradients of pre-activations at a time.
CHUNK_ROWS = 4096
# Rows of one thread whose input gradients are formed together, while those of their pre-activations are in cache.
PART_ROWS = 256
SLOT_BYTES = 1 << 18  # pre-activations of a forward chunk and thread that stay in the second-level cache


def address(array: np.ndarray) -> int:
    """Return where an array's data begins."""
    return array.__array_interface__["data"][0]


def aligned(shape: Sequence[int], dtype: np.dtype, zero: bool = False) -> np.ndarray:
    """Return an array of rows that begin at a cache line; values are arbitrary unless ``zero``."""
    count = int(np.prod(shape)) * dtype.itemsize
    raw = (np.zeros if zero else np.empty)(count + LINE, dtype=np.uint8)
    start = -address(raw) % LINE
    return raw[start : start + count].view(dtype).reshape(shape)


def power_of_two(limit: float, most: int) -> int:
    """Return the largest power of two up to ``limit`` that is not above the next one from ``most``; at least 1."""
    size = 1
    while size * 2 <= limit and size < most:
        size *= 2
    return size


# A stream: address at step 0 and row 0, bytes a step, mask of the step, number added to the step, bytes a row.
Entry = tuple[int, int, int, int, int]


def carries(tiles: Iterable[Tile]) -> list[str]:
    """Return the names of the values that tiles hand to later tiles of the same step."""
    return [s.name for t in tiles for s, _ in t.stores if s.kind == "carry"]


class Block:
    """Vectors of one kind, side by side in rows: [slots, B, names x width], each row padded by a cache line.

    The padding keeps consecutive rows out of the same set of the first-level cache when their size is a power of two.
    """

    def __init__(
        self, names: Iterable[str], slots: int, batch: int, width: int, dtype: np.dtype, mask: int, zero: bool = False
    ) -> None:
        self.names, self.width, self.mask = list(names), width, mask
        row = len(self.names) * width + (LINE // dtype.itemsize if self.names else 0)
        self.shape, self.dtype, self.zero = (slots, batch, row), dtype, zero
        self.nbytes = slots * batch * row * dtype.itemsize

    @cached_property
    def array(self) -> np.ndarray:
        """The memory, reserved on first use."""
        return aligned(self.shape, self.dtype, self.zero)

    def fixed(self, name: str) -> Entry:
        """Return the stream of one of the vectors that is the same for every step and row."""
        return (self.entry(name)[0], 0, 0, 0, 0)

    def entry(self, name: str, offset: int = 0) -> Entry:
        """Return the stream of one of the vectors, ``offset`` steps ahead."""
        steps, rows, _ = self.array.strides
        start = address(self.array) + self.names.index(name) * self.width * self.array.itemsize
        return (start, steps, self.mask, offset, rows)

    def view(self, name: str, slot: int, units: int) -> np.ndarray:
        """Return one vector of all rows at a slot, [B, units]."""
        start = self.names.index(name) * self.width
        return self.array[slot, :, start : start + units]


class Tables:
    """The tables of one plan, kept alive together with the arrays that they point to."""

    def __init__(self, sequence: ModuleType, **entries: int) -> None:
        self.sequence = sequence
        self.plan = np.zeros(sequence.PLAN_SIZE, dtype=np.int64)
        self.kept: list[np.ndarray] = []
        self._streams: list[Entry] = []
        self._index: dict[object, int] = {}
        for name, value in entries.items():
            self.set(name, value)

    def set(self, name: str, value: int) -> None:
        """Set an entry of the plan by its name in kernels/sequence.py."""
        self.plan[getattr(self.sequence, name)] = value

    def table(self, name: str, rows: Sequence[Sequence[int]], count: str | None = None) -> np.ndarray:
        """Store a table and its address in entry ``name``, and its length in entry ``count``."""
        array = np.array(rows, dtype=np.int64).reshape(len(rows), -1 if rows else 0)
        self.kept.append(array)
        self.set(name, address(array))
        if count is not None:
            self.set(count, len(rows))
        return array

    def stream(self, key: object, entry: Entry | None = None) -> int:
        """Return the index of a stream, adding it under ``key`` the first time."""
        if key not in self._index:
            assert entry is not None, key
            self._index[key] = len(self._streams)
            self._streams.append(entry)
        return self._index[key]

    def finish(self) -> None:
        """Write the table of all streams; their entries can be changed afterwards through ``move``."""
        self.streams = self.table("STREAMS", self._streams)

    def move(self, key: object, base: int) -> None:
        """Let a stream begin at another address."""
        self.streams[self._index[key], self.sequence.BASE] = base

    def stages(
        self, tiles: Sequence[Tile], module: ModuleType, entries: dict[Stream, Entry],
        products: dict[Node, list[tuple[int, int, int, Stream, Stream, Stream]]],
    ) -> None:  # fmt: skip
        """Write the stages: ``products`` gives for every product node its rows (packed, depth, columns, A, C0, C)."""
        product_rows, stream_rows, rows = [], [], []
        for tile in tiles:
            wanted = [p for node in tile.products for p in products[node]]
            resolved = [(*p[:3], *(self.stream(k) for k in p[3:])) for p in wanted]
            streams = [self.stream(s, entries[s]) for s in tile.streams]
            code = getattr(module, tile.name).address
            rows.append([code, len(product_rows), len(resolved), len(stream_rows), len(streams)])
            product_rows += resolved
            stream_rows += streams
        product_table = np.array(product_rows or [[0] * 6], dtype=np.int64)
        stream_table = np.array(stream_rows or [0], dtype=np.int64)
        self.kept += [product_table, stream_table]
        for row in rows:
            row[1] = address(product_table) + row[1] * product_table.strides[0]
            row[3] = address(stream_table) + row[3] * 8
        self.table("STAGES", rows, "STAGE_COUNT")

    def frames(self, tiles: Sequence[Tile], threads: int) -> None:
        """Reserve each thread's table of stream addresses."""
        size = max((2 * len(t.streams) for t in tiles), default=0)
        frames = aligned((threads, size + LINE // 8), np.dtype(np.int64))
        self.kept.append(frames)
        self.set("FRAMES", address(frames))
        self.set("FRAME_BYTES", frames.strides[0])


class Packed:
    """A program's weights in panels: W and R for the forward, and their transposes for the backward."""

    def __init__(self, program: Program, input_size: int, hidden: int, dtype: np.dtype, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        self.width = padded(hidden, lanes)
        self.sizes: dict[tuple[str, bool], tuple[int, int]] = {}  # (name, transposed) -> inner size, columns
        for name in program.params:
            if name[0] in "WR":
                rows, columns = program.shape(name, input_size, hidden)
                self.sizes[name, False] = (rows, columns)
                self.sizes[name, True] = (columns, rows)
        self.arrays: dict[tuple[str, bool], np.ndarray] = {}

    def array(self, name: str, transposed: bool) -> np.ndarray:
        """Return the packed panels of a matrix, to be filled by ``pack_weights``."""
        key = (name, transposed)
        if key not in self.arrays:
            self.arrays[key] = aligned((self.elements(key),), self.dtype)
        return self.arrays[key]

    def elements(self, key: tuple[str, bool]) -> int:
        """Return the number of values of a packed matrix, padding included."""
        inner, outer = self.sizes[key]
        return inner * padded(outer, self.lanes)

    def nbytes(self, training: bool) -> int:
        """Return the bytes of all packed matrices, with the transposed ones in training."""
        return sum(self.elements(key) for key in self.sizes if training or not key[1]) * self.dtype.itemsize

    def rows(self, params: dict[str, np.ndarray], transposed: bool) -> list[tuple[int, ...]]:
        """Return the table entries that pack all matrices."""
        return [
            (address(params[name]), params[name].strides[0], *self.sizes[name, flip], flip,
             address(self.array(name, flip)))
            for name, flip in self.sizes if flip == transposed
        ]  # fmt: skip


def padded(size: int, lanes: int) -> int:
    """Return ``size`` rounded up to whole vectors."""
    return -(-size // lanes) * lanes


def operand_stream(operand: Node, names: dict[Node, str]) -> Stream:
    """Return the stream that a recurrent product reads; ``names`` are those of operands other than states."""
    return Stream("operand", names[operand]) if operand in names else Stream("state", str(operand.value))
