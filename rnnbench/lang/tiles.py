"""From stages to tiles: what each pointwise stage of a step reads, computes and writes, whatever the machine.

A tile is one stage of a step over some rows of the batch and some units. A stream is one array that a tile touches; an
engine decides where it lies. The emitted code and the engine's memory plan are both made from these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rnnbench.lang import ops
from rnnbench.lang.ops import Affine, Node, make, walk
from rnnbench.lang.program import Program
from rnnbench.lang.sizes import HIDDEN, Sizes
from rnnbench.lang.stages import Stage, schedule


@dataclass(frozen=True)
class Stream:
    """One array of a step: ``kind`` says what it holds, ``name`` which one.

    Read: slot (a pre-activation), state (before the step), next (after it, in the adjoint), unit (a per-unit vector),
    saved, carry (a value of an earlier stage), dy (the output's gradient), upstream (a state's gradient from later
    steps), transposed (a product's result in the adjoint). Written: next, y (the output), saved, carry, operand (of a
    recurrent product), argument (of a sum over units or of a matrix state), d_state, d_slot; summed over rows: d_unit.
    What a sum over units or a matrix state gives is read as result. Of a program in chunks: export (to the matrix
    state), import (from it), kept (from the first phase of a chunk for the second).
    """

    kind: str
    name: str


@dataclass(frozen=True, eq=False)
class Tile:
    """One stage: finish ``products``, then load, compute ``nodes``, store, and add ``sums`` over the rows.

    Everything in it has one size, called ``size`` (``rnnbench.lang.sizes``). A stage of several sizes is several tiles,
    which read nothing of one another.
    """

    name: str
    products: tuple[Node, ...]
    loads: tuple[tuple[Stream, Node], ...]
    nodes: tuple[Node, ...]
    stores: tuple[tuple[Stream, Node], ...]
    sums: tuple[tuple[Stream, Node], ...]
    size: str = HIDDEN

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
    products = [n for stage in program.adjoint.stages for n in stage.products if n.op is ops.TRANSPOSED]
    return _distinct((n, "+".join(n.value)) for n in products)  # type: ignore[arg-type]


def over_units(stages: Sequence[Stage]) -> tuple[Node, ...]:
    """Return what reads other units without weights, in order: sums over units, and all that is done with matrices."""
    return tuple(n for stage in stages for n in stage.products if n.op in (*ops.OVER_UNITS, *ops.OF_MATRICES))


def argument_names(program: Program, stages: Sequence[Stage]) -> dict[Node, str]:
    """Return a name for every vector that ``over_units`` reads."""
    vectors = dict.fromkeys(v for n in over_units(stages) for v in ops.vectors_of(n))
    return _distinct((v, program.names.get(v) or f"v{i}") for i, v in enumerate(vectors))


def result_names(program: Program, stages: Sequence[Stage]) -> dict[Node, str]:
    """Return a name for every vector that ``over_units`` gives."""
    found = [n for n in over_units(stages) if n.op is not ops.UPDATE]
    return _distinct((n, program.names.get(n) or f"{n.op.name}_{i}") for i, n in enumerate(found))


def saved_names(program: Program) -> dict[Node, str]:
    """Return a name for every saved value: the author's variable, a pre-activation's name, or a number."""
    slots = slot_names(program)
    saved = program.adjoint.saved
    return _distinct((n, program.names.get(n) or slots.get(n) or f"value_{saved.index(n)}") for n in saved)


def _build(
    prefix: str,
    stages: Sequence[Stage],
    sizes: Sizes,
    leaf: Callable[[Node], Stream | None],
    outputs: Sequence[tuple[Stream, Node]],
    sums: Sequence[tuple[Stream, Node]] = (),
) -> tuple[Tile, ...]:
    """Return one tile per stage and size; ``leaf`` gives the stream of a value that is read and not computed."""
    parts = [(index, size, *_part(stage, size, sizes)) for index, stage in enumerate(stages) for size in sizes.all]
    home: dict[Node, int] = {}
    for part, (_, _, products, nodes) in enumerate(parts):
        home |= dict.fromkeys((*products, *nodes), part)

    def place(stream: Stream, node: Node) -> int:
        """Return the part that stores a value; what is not computed is stored by the first stage."""
        number = stream.kind in ("next", "y", "d_state")  # a state's value may be a number, which has no size
        return home.get(node, sizes.all.index(sizes.states[stream.name] if number else sizes.of(node)))

    computed = {n for _, _, _, nodes in parts for n in nodes}
    carried: dict[Node, Stream] = {}
    loads: list[dict[Node, Stream]] = []
    for part, (_, _, _, nodes) in enumerate(parts):
        here = set(nodes)
        wanted = [a for n in nodes for a in n.args]
        wanted += [n for s, n in (*outputs, *sums) if place(s, n) == part]
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
    for part, (index, size, products, nodes) in enumerate(parts):
        stores = [(s, n) for s, n in outputs if place(s, n) == part]
        stores += [(s, n) for n, s in carried.items() if home[n] == part]
        tiles.append(
            Tile(
                f"{prefix}_{index}" if size == HIDDEN else f"{prefix}_{index}_{size}",
                products,
                tuple((s, n) for n, s in loads[part].items()),
                nodes,
                tuple(stores),
                tuple((s, n) for s, n in sums if place(s, n) == part),
                size,
            )
        )
    return tuple(t for t in tiles if t.stores or t.sums or t.products)


Leaf = Callable[[Node], Stream | None]
Outputs = Sequence[tuple[Stream, Node]]


def tile_of(name: str, stages: Sequence[Stage], sizes: Sizes, leaf: Leaf, outputs: Outputs) -> Tile:
    """Return the one tile that computes ``outputs``, which need no products, under a name of its own."""
    [tile] = _build("tile", stages, sizes, leaf, outputs)
    return replace(tile, name=name)


def _part(stage: Stage, size: str, sizes: Sizes) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the products and the pointwise nodes of one size."""
    products, nodes = (tuple(n for n in found if sizes.of(n) == size) for found in (stage.products, stage.nodes))
    return products, nodes


def forward_leaf(program: Program) -> Leaf:
    """Return the function that gives the stream of a value which the forward step reads, and None for all others."""
    slots, results = slot_names(program), result_names(program, program.stages)

    def leaf(node: Node) -> Stream | None:
        if node in results:
            return Stream("result", results[node])
        if node.op is ops.AFFINE:
            return Stream("slot", slots[node])
        if node.op in (ops.STATE, ops.UNIT, ops.IMPORT):
            return Stream(node.op.name, str(node.value))
        return None

    return leaf


def backward_leaf(program: Program) -> Leaf:
    """Return the function that gives the stream of a value which the backward step reads, and None for all others."""
    after = {node: state for state, node in program.next_states.items()}
    saved, transposed = saved_names(program), transposed_names(program)
    results = result_names(program, program.adjoint.stages)

    def leaf(node: Node) -> Stream | None:
        if node in results:
            return Stream("result", results[node])
        if node in saved:
            return Stream("saved", saved[node])
        if node in after and node.args:
            return Stream("next", after[node])
        if node.op is ops.TRANSPOSED:
            return Stream("transposed", transposed[node])
        if node.op is ops.OUTPUT_GRADIENT:
            return Stream("dy", program.output)
        if node.op in (ops.STATE, ops.UNIT, ops.UPSTREAM, ops.IMPORT):
            return Stream(node.op.name, str(node.value))
        return None

    return leaf


def forward_tiles(program: Program, training: bool) -> tuple[Tile, ...]:
    """Return the tiles of the forward step; with ``training`` they store what the adjoint saves."""
    early, late = forward_phases(program, training)
    return early + late


def forward_phases(program: Program, training: bool) -> tuple[tuple[Tile, ...], tuple[Tile, ...]]:
    """Return the tiles of the forward step, those first that need none of the program's imports."""
    saved, operands, leaf = saved_names(program), operand_names(program), forward_leaf(program)
    outputs = [(Stream("next", s), n) for s, n in program.next_states.items() if s not in program.matrices]
    outputs.append((Stream("y", program.output), program.next_states[program.output]))
    outputs += [(Stream("operand", name), n) for n, name in operands.items()]
    outputs += [(Stream("argument", name), n) for n, name in argument_names(program, program.stages).items()]
    outputs += [(Stream("export", name), n) for name, n in program.exports.items()]
    if training:
        outputs += [(Stream("saved", name), n) for n, name in saved.items()]
    prefix = "training" if training else "forward"
    if not program.exports:
        return _build(prefix, program.stages, program.sizes, leaf, outputs), ()
    before = {make(ops.STATE, value=s): n for s, n in program.next_states.items()}
    late = dependent(program.nodes, (n for n in program.nodes if n.op is ops.IMPORT), before)
    # Pre-activations of a whole chunk lie in memory; states do not.
    at_hand = {n for n in program.nodes if n.op in (ops.UNIT, ops.CONST) or (n.op is ops.AFFINE and not n.args)}
    return _two_phases(prefix, program.sizes, leaf, outputs, (), late, at_hand, lambda node: False)


def _two_phases(
    prefix: str,
    sizes: Sizes,
    leaf: Callable[[Node], Stream | None],
    outputs: Outputs,
    sums: Outputs,
    late: set[Node],
    at_hand: set[Node],
    given: Callable[[Node], bool],
) -> tuple[tuple[Tile, ...], tuple[Tile, ...]]:
    """Return tiles of what does not depend on ``late`` nodes, and of what does: the latter run when all steps of a
    chunk have run the former.

    What the second phase reads of the first is kept for all steps of a chunk, but for what is ``at_hand`` or ``given``.
    """
    second = [n for _, n in (*outputs, *sums) if n in late]
    kept: dict[Node, None] = {}
    for node in walk(second, stop=lambda n: n not in late or given(n)):
        for argument in node.args if node in late and not given(node) else ():
            # A condition has no array: the second phase compares anew.
            wanted = argument.args if argument.op is ops.GE and argument not in late else (argument,)
            for value in wanted:
                if value not in late and value not in at_hand and not given(value):
                    kept[value] = None
    names = {n: f"kept {i}" for i, n in enumerate(kept)}

    def later_leaf(node: Node) -> Stream | None:
        return Stream("kept", names[node]) if node in names else leaf(node)

    first_outputs = [(s, n) for s, n in outputs if n not in late]
    first_outputs += [(Stream("kept", name), n) for n, name in names.items()]
    first_sums, last_sums = ([(s, n) for s, n in sums if (n in late) is side] for side in (False, True))
    last_outputs = [(s, n) for s, n in outputs if n in late]
    first = schedule([n for _, n in (*first_outputs, *first_sums)], given)
    last = schedule(second, lambda node: node in names or given(node))
    return (
        _build(prefix, first, sizes, leaf, first_outputs, first_sums),
        _build(f"{prefix}_after", last, sizes, later_leaf, last_outputs, last_sums),
    )


def dependent(nodes: Iterable[Node], roots: Iterable[Node], before: Mapping[Node, Node]) -> set[Node]:
    """Return the nodes that depend on ``roots``, in the same step or through steps before: ``before`` maps what a step
    starts with to the node that made it."""
    nodes, found = tuple(nodes), set(roots)
    while True:
        size = len(found)
        found |= {start for start, node in before.items() if node in found}
        for node in nodes:
            if any(a in found for a in node.args):
                found.add(node)
        if len(found) == size:
            return found


def is_direct(tile: Tile) -> bool:
    """Tell whether a tile only hands on results of its products, which can then write to their places themselves."""
    nodes = [node for _, node in tile.stores]
    dense = {n for n in tile.products if n.op in (ops.AFFINE, ops.TRANSPOSED)}
    return not tile.nodes and not tile.sums and set(nodes) <= dense and len(set(nodes)) == len(nodes)


def direct_tiles(tiles: Sequence[Tile]) -> dict[Tile, dict[Node, Stream]]:
    """Return the direct tiles whose products can write to their places at once, and these.

    No other tile may read one of the results elsewhere.
    """
    found: dict[Tile, dict[Node, Stream]] = {}
    for tile in filter(is_direct, tiles):
        places = {node: stream for stream, node in tile.stores}
        if all(places.get(n, s) == s for other in tiles if other is not tile for s, n in other.loads):
            found[tile] = places
    return found


def backward_tiles(program: Program) -> tuple[Tile, ...]:
    """Return the tiles of the backward step."""
    early, late = backward_phases(program)
    return early + late


def backward_phases(program: Program) -> tuple[tuple[Tile, ...], tuple[Tile, ...]]:
    """Return the tiles of the backward step, those first that need none of the gradients of the program's exports."""
    adjoint, leaf = program.adjoint, backward_leaf(program)
    slots, operands = slot_names(program), operand_names(program)

    zero = ops.const(0.0)
    vectors = [s for s in program.states if s not in program.matrices]
    outputs = [(Stream("d_state", s), adjoint.states.get(s, zero)) for s in vectors]
    outputs += [(Stream("d_slot", slots[a]), d) for a, d in adjoint.affines.items()]
    outputs += [(Stream("operand", name), n) for n, name in operands.items() if n in adjoint.operands]
    outputs += [(Stream("argument", name), n) for n, name in argument_names(program, adjoint.stages).items()]
    outputs += [(Stream("export", name), n) for name, n in adjoint.exports.items()]
    sums = [(Stream("d_unit", bias), d) for a, d in adjoint.affines.items() for bias in affine_of(a).biases]
    sums += [(Stream("d_unit", unit), d) for unit, d in adjoint.units.items()]
    if not program.exports:
        return _build("backward", adjoint.stages, program.sizes, leaf, outputs, sums), ()
    nodes = walk([n for _, n in (*outputs, *sums)], stop=adjoint.given)
    gradients = [n for n in nodes if n.op is ops.IMPORT and str(n.value).startswith("d ")]
    later = {make(ops.UPSTREAM, value=s): n for s, n in adjoint.states.items()}
    late = dependent((n for n in nodes if not adjoint.given(n)), gradients, later)
    # All steps' states, saved values and output gradients lie in memory; gradients of states do not.
    at_hand = {n for n in nodes if n.op in (ops.UNIT, ops.CONST, ops.STATE, ops.OUTPUT_GRADIENT)}
    return _two_phases("backward", program.sizes, leaf, outputs, sums, late, at_hand, adjoint.given)


def saved_sizes(program: Program) -> dict[str, str]:
    """Return the size of every saved value, by name."""
    return {name: program.sizes.of(node) for node, name in saved_names(program).items()}


def reused_streams(tiles: Sequence[Tile], read: str, written: str, saved: Mapping[str, str]) -> dict[str, str]:
    """Return for streams of one kind the stream of another kind whose memory each can take over, by name.

    A tile may write where it has read, so a value that is ``written`` can lie over one that was ``read`` and that no
    later tile of the step reads. ``saved`` has the saved values, of either kind, with their sizes in the order of their
    memory: a match is the first that is free, so that values beside one another stay so and can be multiplied at once.
    """
    last_read = {s.name: index for index, tile in enumerate(tiles) for s, _ in tile.loads if s.kind == read}
    stored = {s.name: index for index, tile in enumerate(tiles) for s, _ in tile.stores if s.kind == written}
    found: dict[str, str] = {}

    def left(index: int) -> list[str]:
        """Return the saved values of a tile's size whose memory is not taken."""
        return [n for n, size in saved.items() if size == tiles[index].size and n not in found.values()]

    if read == "saved":
        for name, index in stored.items():
            free = [n for n in left(index) if last_read.get(n, index) <= index]
            if free:
                found[name] = free[0]
    else:
        for name, index in last_read.items():
            free = [n for n in left(index) if stored.get(n, -1) >= index]
            if free:
                found[name] = free[0]
    return found
