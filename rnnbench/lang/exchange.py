"""What the units of a step show one another, for machines on which many processors share the units of one step.

Three things read other units than their own: products with weights, sums over the units of a head, and matrix states.
What they read was written by other threads, so a barrier must lie between.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from rnnbench.lang import ops
from rnnbench.lang.ops import Node
from rnnbench.lang.recurrent_products import (
    RecurrentProduct,
    barriers,
    published,
    recurrent_products,
    size_of,
    tiles_of,
)
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.tiles import Stream, Tile, argument_names, over_units, result_names
from rnnbench.lang.trace import Program


@dataclass(frozen=True)
class UnitOperation:
    """One operator over units: ``arguments`` are the vectors that it reads, in the order of ``ops.vectors_of``,
    ``result`` the vector that it gives, None for the update of a matrix state. ``tile`` needs the result.
    """

    tile: int
    node: Node
    arguments: tuple[Stream, ...]
    result: Stream | None

    @property
    def heads(self) -> int:
        """The number of heads."""
        return int(self.node.value)  # type: ignore[call-overload]


@dataclass(frozen=True, eq=False)
class Exchange:
    """What is exchanged in a step of ``kind`` "forward", "training" or "backward", and where all have to meet for it.

    ``operands`` are what products read, ``arguments`` what operations over units read, each once. ``sums`` names what
    is summed over the units of how many heads. ``matrices`` are the matrix states that a step reads or writes, with
    their heads: in the backward, their gradients ("upstream"), and the states themselves where they are read.
    ``barriers`` are the tiles before which all must have met.
    """

    program: Program
    kind: str
    tiles: tuple[Tile, ...]
    products: tuple[RecurrentProduct, ...]
    operands: tuple[Stream, ...]
    operations: tuple[UnitOperation, ...]
    arguments: tuple[Stream, ...]
    sums: tuple[tuple[Stream, int], ...]
    matrices: tuple[tuple[Stream, int], ...]
    barriers: frozenset[int]

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes that differ, H first."""
        return tuple(dict.fromkeys((HIDDEN, *(size_of(self.program, s) for s in self.program.sizes.all))))


@lru_cache(maxsize=512)
def exchange(program: Program, kind: str) -> Exchange:
    """Return what is exchanged in a step of ``kind`` "forward", "training" or "backward"."""
    tiles, products = tiles_of(program, kind), recurrent_products(program, kind)
    stages = program.adjoint.stages if kind == "backward" else program.stages
    names, results = argument_names(program, stages), result_names(program, stages)
    others, operations = set(over_units(stages)), []
    for index, tile in enumerate(tiles):
        for node in (n for n in tile.products if n in others):
            read = tuple(Stream("argument", names[vector]) for vector in ops.vectors_of(node))
            result = None if node.op is ops.UPDATE else Stream("result", results[node])
            operations.append(UnitOperation(index, node, read, result))
    # An update comes at the end of the step: what it reads is not waited for before.
    reads = [(o.tile, stream) for o in operations if o.result is not None for stream in o.arguments]
    sums = dict.fromkeys((o.arguments[0], o.heads) for o in operations if o.node.op in ops.OVER_UNITS)
    arguments = dict.fromkeys(stream for o in operations for stream in o.arguments)
    return Exchange(
        program, kind, tiles, products, published(products), tuple(operations), tuple(arguments), tuple(sums),
        _matrices(program, kind, operations), barriers(tiles, products, reads),
    )  # fmt: skip


def matrix_of(node: Node) -> Stream:
    """Return the stream of a matrix state, before the step, or of the gradient of one after it."""
    return Stream("state" if node.op is ops.STATE else "upstream", str(node.value))


def matrices_read(node: Node) -> tuple[Stream, ...]:
    """Return the matrices that an operator of ``ops.OF_MATRICES`` reads."""
    if node.op not in ops.OF_MATRICES:
        return ()
    return tuple(matrix_of(a) for a in node.args[: 2 if node.op is ops.ROWDOT else 1])


def _matrices(program: Program, kind: str, operations: list[UnitOperation]) -> tuple[tuple[Stream, int], ...]:
    own = "upstream" if kind == "backward" else "state"
    found = [Stream(own, state) for state in program.matrices]
    found += [matrix for operation in operations for matrix in matrices_read(operation.node)]
    return tuple((matrix, program.matrices[matrix.name]) for matrix in dict.fromkeys(found))


def is_exchanging(program: Program) -> bool:
    """Tell whether a step has anything that reads other units, or vectors of several sizes."""
    nodes = program.nodes
    return any(n.op in (*ops.OVER_UNITS, *ops.OF_MATRICES) or (n.op is ops.AFFINE and n.args) for n in nodes) or any(
        size_of(program, size) != HIDDEN for size in program.sizes.all
    )


def parts_of(program: Program, hidden: int, heads: int) -> int:
    """Return into how many parts the units fall that never read one another.

    ``heads`` is the number of blocks on the diagonal of all recurrent matrices, outside of which they are zero.
    """
    nodes = program.nodes
    found = [int(n.value) for n in nodes if n.op in (*ops.OVER_UNITS, *ops.OF_MATRICES)]  # type: ignore[call-overload]
    found += [heads] if any(n.op is ops.AFFINE and n.args for n in nodes) else []
    return gcd(*found, *(program.units(size, hidden) for size in program.sizes.all)) if found else 1
