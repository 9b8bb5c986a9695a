"""From stages to tiles: what each pointwise stage of a step reads, computes and writes, whatever the machine.

A tile is one stage of a step over some rows of the batch and some units. A stream is one array that a tile touches; an
engine decides where it lies. The emitted code and the engine's memory plan are both made from these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rnnbench.lang import ops
from rnnbench.lang.ops import Affine, Node
from rnnbench.lang.stages import Stage
from rnnbench.lang.trace import Program


@dataclass(frozen=True)
class Stream:
    """One array of a step: ``kind`` says what it holds, ``name`` which one.

    Read: slot (a pre-activation), state (before the step), next (after it, in the adjoint), unit (a per-unit vector),
    saved, carry (a value of an earlier stage), dy (the output's gradient), upstream (a state's gradient from later
    steps), transposed (a product's result in the adjoint). Written: next, y (the output), saved, carry, operand (of a
    recurrent product), d_state, d_slot; summed over rows: d_unit.
    """

    kind: str
    name: str


@dataclass(frozen=True, eq=False)
class Tile:
    """One stage: finish ``products``, then load, compute ``nodes``, store, and add ``sums`` over the rows."""

    name: str
    products: tuple[Node, ...]
    loads: tuple[tuple[Stream, Node], ...]
    nodes: tuple[Node, ...]
    stores: tuple[tuple[Stream, Node], ...]
    sums: tuple[tuple[Stream, Node], ...]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every stream, in the order in which the emitted tile expects them."""
        return tuple(s for s, _ in (*self.loads, *self.stores, *self.sums))


def _distinct(wanted: Iterable[tuple[Node, str]]) -> dict[Node, str]:
    """Return a name for every node: the wanted one, with a number where another node has it."""
    names: dict[Node, str] = {}
    for node, name in wanted:
        n = sum(1 for taken in names.values() if taken.split("#")[0] == name)
        names.setdefault(node, f"{name}#{n + 1}" if n else name)
    return names


def slot_names(program: Program) -> dict[Node, str]:
    """Return the name of every pre-activation: its input and matrices, such as "x.i+R.i"."""
    return _distinct((a, "+".join(_terms(affine_of(a)))) for a in program.affines)


def _terms(affine: Affine) -> list[str]:
    return ([f"x.{affine.input}"] if affine.input else []) + [f"R.{m}" for m in affine.matrices]


def affine_of(node: Node) -> Affine:
    """Return what a pre-activation's node holds."""
    assert isinstance(node.value, Affine)
    return node.value


def operand_names(program: Program) -> dict[Node, str]:
    """Return a name for every argument of a recurrent product that is not a plain state: its first matrix."""
    pairs = [(o, m) for a in program.affines for o, m in zip(a.args, affine_of(a).matrices, strict=True)]
    return _distinct((o, m) for o, m in dict(reversed(pairs)).items() if o.op is not ops.STATE)


def transposed_names(program: Program) -> dict[Node, str]:
    """Return a name for every product of the adjoint: its matrices."""
    products = [n for stage in program.adjoint.stages for n in stage.products]
    return _distinct((n, "+".join(n.value)) for n in products)  # type: ignore[arg-type]


def saved_names(program: Program) -> dict[Node, str]:
    """Return a name for every saved value: the author's variable, a pre-activation's name, or a number."""
    slots = slot_names(program)
    saved = program.adjoint.saved
    return _distinct((n, program.names.get(n) or slots.get(n) or f"value_{saved.index(n)}") for n in saved)


def _build(
    prefix: str,
    stages: Sequence[Stage],
    leaf: Callable[[Node], Stream | None],
    outputs: Sequence[tuple[Stream, Node]],
    sums: Sequence[tuple[Stream, Node]] = (),
) -> tuple[Tile, ...]:
    """Return one tile per stage; ``leaf`` gives the stream of a value that is read and not computed."""
    home: dict[Node, int] = {}
    for index, stage in enumerate(stages):
        home |= dict.fromkeys((*stage.products, *stage.nodes), index)
    computed = {n for stage in stages for n in stage.nodes}
    carried: dict[Node, Stream] = {}
    loads: list[dict[Node, Stream]] = []
    for index, stage in enumerate(stages):
        here = set(stage.nodes)
        wanted = [a for n in stage.nodes for a in n.args]
        wanted += [n for _, n in (*outputs, *sums) if home.get(n, 0) == index]
        found: dict[Node, Stream] = {}
        for node in wanted:
            if node in here or node.op is ops.CONST or node in found:
                continue
            stream = leaf(node)
            if stream is None:
                assert node in computed
                stream = carried.setdefault(node, Stream("carry", str(len(carried))))
            found[node] = stream
        loads.append(found)
    tiles = []
    for index, stage in enumerate(stages):
        stores = [(s, n) for s, n in outputs if home.get(n, 0) == index]
        stores += [(s, n) for n, s in carried.items() if home[n] == index]
        tiles.append(
            Tile(
                f"{prefix}_{index}",
                stage.products,
                tuple((s, n) for n, s in loads[index].items()),
                stage.nodes,
                tuple(stores),
                tuple((s, n) for s, n in sums if home.get(n, 0) == index),
            )
        )
    return tuple(t for t in tiles if t.stores or t.sums or t.products)


def forward_tiles(program: Program, training: bool) -> tuple[Tile, ...]:
    """Return the tiles of the forward step; with ``training`` they store what the adjoint saves."""

    slots, saved, operands = slot_names(program), saved_names(program), operand_names(program)

    def leaf(node: Node) -> Stream | None:
        if node.op is ops.AFFINE:
            return Stream("slot", slots[node])
        if node.op in (ops.STATE, ops.UNIT):
            return Stream(node.op.name, str(node.value))
        return None

    outputs = [(Stream("next", s), n) for s, n in program.next_states.items()]
    outputs.append((Stream("y", program.output), program.next_states[program.output]))
    outputs += [(Stream("operand", name), n) for n, name in operands.items()]
    if training:
        outputs += [(Stream("saved", name), n) for n, name in saved.items()]
    return _build("training" if training else "forward", program.stages, leaf, outputs)


def is_direct(tile: Tile) -> bool:
    """Tell whether a tile only hands on results of its products, which can then write to their places themselves."""
    nodes = [node for _, node in tile.stores]
    return not tile.nodes and not tile.sums and set(nodes) <= set(tile.products) and len(set(nodes)) == len(nodes)


def backward_tiles(program: Program) -> tuple[Tile, ...]:
    """Return the tiles of the backward step."""
    adjoint = program.adjoint
    after = {node: state for state, node in program.next_states.items()}
    slots, saved = slot_names(program), saved_names(program)
    operands, transposed = operand_names(program), transposed_names(program)

    def leaf(node: Node) -> Stream | None:
        if node in saved:
            return Stream("saved", saved[node])
        if node in after and node.args:
            return Stream("next", after[node])
        if node.op is ops.TRANSPOSED:
            return Stream("transposed", transposed[node])
        if node.op is ops.OUTPUT_GRADIENT:
            return Stream("dy", program.output)
        if node.op in (ops.STATE, ops.UNIT, ops.UPSTREAM):
            return Stream(node.op.name, str(node.value))
        return None

    zero = ops.const(0.0)
    outputs = [(Stream("d_state", s), adjoint.states.get(s, zero)) for s in program.states]
    outputs += [(Stream("d_slot", slots[a]), d) for a, d in adjoint.affines.items()]
    outputs += [(Stream("operand", name), n) for n, name in operands.items() if n in adjoint.operands]
    sums = [(Stream("d_unit", bias), d) for a, d in adjoint.affines.items() for bias in affine_of(a).biases]
    sums += [(Stream("d_unit", unit), d) for unit, d in adjoint.units.items()]
    return _build("backward", adjoint.stages, leaf, outputs, sums)


def reused_streams(tiles: Sequence[Tile], read: str, written: str, names: Sequence[str]) -> dict[str, str]:
    """Return for streams of one kind the stream of another kind whose memory each can take over, by name.

    A tile may write where it has read, so a value that is ``written`` can lie over one that was ``read`` and that no
    later tile of the step reads. ``names`` are those of the saved values, of either kind, in the order of their memory:
    a match is the first that is free, so that values beside one another stay so and can be multiplied at once.
    """
    last_read = {s.name: index for index, tile in enumerate(tiles) for s, _ in tile.loads if s.kind == read}
    stored = {s.name: index for index, tile in enumerate(tiles) for s, _ in tile.stores if s.kind == written}
    found: dict[str, str] = {}
    if read == "saved":
        for name, index in stored.items():
            free = [n for n in names if last_read.get(n, index) <= index and n not in found.values()]
            if free:
                found[name] = free[0]
    else:
        for name, index in last_read.items():
            free = [n for n in names if stored.get(n, -1) >= index and n not in found.values()]
            if free:
                found[name] = free[0]
    return found
