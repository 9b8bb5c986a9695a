"""The matrix products inside a step, for machines on which many processors share the units of one step.

Each processor multiplies what all have published by the columns of its own units. So a product reads operands that
others wrote, and a barrier must lie between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnnbench.lang import ops
from rnnbench.lang.ops import Node
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.tiles import (
    Stream,
    Tile,
    affine_of,
    backward_tiles,
    forward_tiles,
    operand_names,
    slot_names,
    transposed_names,
)
from rnnbench.lang.trace import Program


@dataclass(frozen=True)
class RecurrentProduct:
    """Operands side by side along K, times matrices: column block r adds to ``results[r]``.

    ``tile`` is the index of the tile that the product finishes a value for. ``matrices[o][r]`` is the parameter,
    such as "R.i", that operand o is multiplied by for result r, ``transposed`` in the backward. Operands are streams of
    kind state, operand or d_slot; results slot or transposed. ``size`` is that of the results, ``inner`` those of the
    operands.
    """

    tile: int
    operands: tuple[Stream, ...]
    results: tuple[Stream, ...]
    matrices: tuple[tuple[str, ...], ...]
    transposed: bool
    size: str
    inner: tuple[str, ...]


def size_of(program: Program, size: str) -> str:
    """Return a size by its name; H for one that is a share of 1 of it."""
    return HIDDEN if size != HIDDEN and program.hyper[size] == 1.0 else size


def recurrent_products(program: Program, kind: str) -> tuple[RecurrentProduct, ...]:
    """Return the products of a step: ``kind`` is "forward", "training" or "backward"."""
    if kind == "backward":
        return _backward(program)
    slots, operands = slot_names(program), operand_names(program)
    found = []
    for index, tile in enumerate(forward_tiles(program, kind == "training")):
        by_operand: dict[Stream, list[tuple[Stream, str]]] = {}
        sizes: dict[Stream, str] = {}
        for node in (n for n in tile.products if n.op is ops.AFFINE):
            for matrix, operand in zip(affine_of(node).matrices, node.args, strict=True):
                read = _operand(operand, operands)
                sizes[read] = size_of(program, program.sizes.of(operand))
                by_operand.setdefault(read, []).append((Stream("slot", slots[node]), f"R.{matrix}"))
        for read, pairs in by_operand.items():
            results, matrices = zip(*pairs, strict=True)
            size = size_of(program, tile.size)
            found.append(RecurrentProduct(index, (read,), results, (matrices,), False, size, (sizes[read],)))
    return tuple(found)


def _operand(operand: Node, names: dict[Node, str]) -> Stream:
    return Stream("operand", names[operand]) if operand in names else Stream("state", str(operand.value))


def _backward(program: Program) -> tuple[RecurrentProduct, ...]:
    slots, transposed, adjoint = slot_names(program), transposed_names(program), program.adjoint
    found = []
    for index, tile in enumerate(backward_tiles(program)):
        for node in (n for n in tile.products if n.op is ops.TRANSPOSED):
            terms, inner = [], []
            for matrix, gradient in zip(node.value, node.args, strict=True):  # type: ignore[arg-type]
                slot, size = next(
                    (slots[affine], program.sizes.of(affine))
                    for affine, given in adjoint.affines.items()
                    if given is gradient and matrix in affine_of(affine).matrices
                )
                terms.append((Stream("d_slot", slot), (f"R.{matrix}",)))
                inner.append(size_of(program, size))
            operands, matrices = zip(*terms, strict=True)
            results, size = (Stream("transposed", transposed[node]),), size_of(program, tile.size)
            found.append(RecurrentProduct(index, operands, results, matrices, True, size, tuple(inner)))
    return tuple(found)


def tiles_of(program: Program, kind: str) -> tuple[Tile, ...]:
    """Return the tiles of "forward", "training" or "backward"."""
    return backward_tiles(program) if kind == "backward" else forward_tiles(program, kind == "training")


def published(products: Sequence[RecurrentProduct]) -> tuple[Stream, ...]:
    """Return every operand of the products, each once: what processors must show one another."""
    return tuple(dict.fromkeys(operand for product in products for operand in product.operands))


def publishes(tile: Tile, operands: Sequence[Stream]) -> tuple[tuple[Stream, Node], ...]:
    """Return what a tile has to publish: (operand, its node). A state's new value is published as the state."""
    as_operand = {"next": "state", "operand": "operand", "d_slot": "d_slot", "argument": "argument"}
    found = [(Stream(as_operand[s.kind], s.name), node) for s, node in tile.stores if s.kind in as_operand]
    return tuple((s, node) for s, node in found if s in operands)


def barriers(
    tiles: Sequence[Tile], products: Sequence[RecurrentProduct], sums: Sequence[tuple[int, Stream]] = ()
) -> frozenset[int]:
    """Return the tiles before whose products all processors must have met, and before whose ``sums`` over units: which
    tile reads which argument.

    Published values have two places each, taken in turn: step t reads place t % 2 and writes states to the other. A
    barrier must lie between a write and a read of it, and between a read and the next write to the same place. Found
    by running through four steps, which return to the same places, until nothing is missing.
    """
    operands = (*published(products), *dict.fromkeys(stream for _, stream in sums))
    states = {s for s in operands if s.kind == "state"}
    found: set[int] = set()
    missing = bool(operands)
    while missing:
        missing = False
        written, read = {(s, 0) for s in states}, set()
        for step in range(4):
            for index, tile in enumerate(tiles):
                reads = {(o, step % 2) for p in products if p.tile == index for o in p.operands}
                reads |= {(stream, step % 2) for tile_of, stream in sums if tile_of == index}
                writes = {(o, (step + (o.kind == "state")) % 2) for o, _ in publishes(tile, operands)}
                if index not in found and (reads & written or writes & read):
                    found.add(index)
                    missing = True
                if index in found:
                    written, read = set(), set()
                written |= writes
                read |= reads
    return frozenset(found)
