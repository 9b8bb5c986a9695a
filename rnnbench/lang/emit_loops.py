"""Write the time loop of a Program as CUDA source: what all persistent kernels have in common.

lang/emit_persistent.py writes kernels with recurrent products, lang/emit_lanes.py those without.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnbench.lang import ops
from rnnbench.lang.emit import Body, Names, Numbers, folded, label, tile_body, wrapped
from rnnbench.lang.emit_cuda import index_of, vectors
from rnnbench.lang.exchange import exchange, is_exchanging
from rnnbench.lang.recurrent_products import size_of
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.tiles import Stream, Tile
from rnnbench.lang.trace import Program

HEADER = '''\
"""Persistent CUDA kernel of the cell {name}, derived from its equations by rnnbench.lang; do not edit.

{how}
"""

from numba import cuda

from .compiled import body, constant, {mark}
from .functions import exp, floor, log, relu, sigmoid, softplus, sqrt, tanh, where
'''
# Names of kernels' own variables, which none of a cell's may have.
_RESERVED = {
    *ops.OPERATORS, "body", "constant", "cuda", "kernel", "range", "row", "unit", "t", "index", "hidden", "whole",
    "slots", "weights", "units", "states", "saved", "dy", "d_states", "d_units", "y", "published", "counters", "start",
    "steps", "total", "batch", "skipped", "thread", "block", "group", "groups", "shared", "halves", "wave", "waves",
    "first", "own_row", "active", "now", "later", "target", "split", "at", "vector", "warp", "lane", "part", "a_at",
    "w_at", "published_rows", "own_unit", "composed", "chunk", "chunks", "length", "begin", "end", "earlier",
    "place", "gang", "above", "sums", "matrices", "d_matrices", "own", "head", "other", "found", "entry", "min", "max",
    *(f"entry_{i}" for i in range(16)),
}  # fmt: skip


def arguments(program: Program, kind: str) -> tuple[str, ...]:
    """Return the arguments of a program's kernel of ``kind`` "forward", "training" or "backward", in order.

    Blocks of vectors as in lang/emit_cuda.py; weights and published where there are products, sums where there are sums
    over units, counters with either; matrices, and in the backward d_matrices, where there are matrix states; composed,
    of [chunks, B, values, H], where steps can be composed. ``start`` is the step that the first of ``steps`` is of a
    sequence of ``total``.
    """
    held = vectors(program)
    shown = exchange(program, kind)
    names = ["slots", *(["weights"] if shown.products else []), *(["units"] if held["units"] else []), "states"]
    names += ["saved"] if held["saved"] and kind != "forward" else []
    if kind == "backward":
        names += ["dy", "d_states", *(["d_units"] if held["d_units"] else [])]
    else:
        names += ["y"]
    names += ["published"] if shown.products else []
    names += ["sums"] if shown.sums else []
    names += ["counters"] if shown.products or shown.sums else []
    names += ["matrices"] if program.matrices else []
    names += ["d_matrices"] if program.matrices and kind == "backward" else []
    names += ["composed"] if is_scan(program, kind) else []
    return (*names, *{"forward": ("start", "steps", "total"), "training": ("steps",), "backward": ()}[kind])


def is_scan(program: Program, kind: str) -> bool:
    """Tell whether the steps of a kernel can be composed: without products, the adjoint's and those of linear cells."""
    if is_exchanging(program):
        return False
    if kind == "backward":
        return bool(program.adjoint.states)
    return program.recurrence == "linear" and any(node.op is ops.STATE for node in program.nodes)


class Writer:
    """What all kernels have in common: variables, loads and stores of the streams of a step."""

    def __init__(self, program: Program, kind: str, tiles: Sequence[Tile], numbers: Numbers) -> None:
        self.program, self.kind, self.tiles, self.numbers = program, kind, tiles, numbers
        self.backward = kind == "backward"
        self.blocks = vectors(program)
        states = {s: program.sizes.states[s] for s in program.states if s not in program.matrices}
        self.size_of = {stream: size_of(program, tile.size) for tile in self.tiles for stream in tile.streams}
        self.size_of_state = {state: size_of(program, size) for state, size in states.items()}
        self.zero = self.numbers.name(0.0)
        self.bodies: list[Body] = [tile_body(tile, program, self.numbers) for tile in self.tiles]
        sizes = {size for size in self.size_of.values() if size != HIDDEN}
        own = {f"{name}_{size}" for name in ("unit", "active", "place") for size in sizes}
        self.names = Names({*_RESERVED, *own})
        self.given = arguments(program, kind)
        self.loaded: dict[Stream, str] = {}
        self.results: list[dict[object, str]] = []
        for tile, made in zip(self.tiles, self.bodies, strict=True):
            for stream, _ in tile.loads:
                if stream.kind != "carry" and stream not in self.loaded:
                    self.loaded[stream] = self.names.new(label(stream.kind, stream.name))
            self.results.append(
                {n: self.names.new(f"to_{made.values[n]}" if n in made.values else "to_v") for n in made.results}
            )
            # A carry is the variable that it was computed as; so are the values that the next step begins with.
            for stream, node in tile.stores:
                if stream.kind in ("carry", "next", "d_state") and stream not in self.loaded:
                    self.loaded[stream] = self.results[-1][node]
        kinds = "upstream" if self.backward else "state"
        # What a thread keeps from step to step.
        self.own = {s: self.loaded.setdefault(Stream(kinds, s), self.names.new(s)) for s in states}
        sums = dict.fromkeys(stream for tile in self.tiles for stream, _ in tile.sums)
        self.totals = {stream: self.names.new(f"sum_{stream.name}") for stream in sums}

    def unit(self, size: str) -> str:
        """Return the variable that holds a thread's unit of a size."""
        return "unit" if size == HIDDEN else f"unit_{size}"

    def place(self, stream: Stream, step: str = "t") -> str:
        """Return where a stream lies in global memory at step ``step``."""
        unit = self.unit(self.size_of[stream])
        index = -1 if stream.kind in ("y", "dy", "unit") else index_of(stream, self.blocks)
        if stream.kind in ("slot", "d_slot"):
            # The forward's pre-activations may be a part of the sequence; those of the backward are all.
            return f"slots[{step if self.kind != 'forward' else step + ' - start'}, row, {index}, {unit}]"
        if stream.kind in ("state", "operand"):
            return f"states[{step}, row, {index}, {unit}]"
        if stream.kind == "next":
            return f"states[{step} + 1, row, {index}, {unit}]"
        if stream.kind == "saved":
            return f"saved[{step}, row, {index}, {unit}]"
        if stream.kind == "unit":
            return f"units[{index_of(stream, self.blocks)}, {unit}]"
        assert stream.kind in ("y", "dy")
        return f"{stream.kind}[{step} - skipped, row, {unit}]"

    def is_loaded(self, stream: Stream) -> bool:
        """Tell whether a stream is read from global memory in each step."""
        if stream.kind in ("slot", "saved", "dy", "next"):
            return True
        return stream.kind == "state" and self.backward

    def load(self, stream: Stream, name: str, step: str = "t") -> list[str]:
        """Return the lines that read a stream."""
        if stream.kind != "dy":
            return [f"{name} = {self.place(stream, step)}"]
        return [f"{name} = {self.zero}", f"if {step} >= skipped:", f"    {name} = {self.place(stream, step)}"]

    def stores(self, index: int, step: str = "t") -> list[str]:
        """Return the lines that write a tile's results which outlive the step."""
        lines = []
        for stream, node in self.tiles[index].stores:
            value = self.results[index][node]
            if stream.kind == "y":
                lines += [f"if {step} >= skipped:", f"    {self.place(stream, step)} = {value}"]
            elif stream.kind in ("saved", "d_slot") or (stream.kind == "operand" and self.backward):
                lines.append(f"{self.place(stream, step)} = {value}")
            elif stream.kind == "next" and self.kind == "training":
                lines.append(f"{self.place(stream, step)} = {value}")
        return lines

    def call(self, index: int) -> list[str]:
        """Return the lines that run a tile's body and add to its sums over rows."""
        tile, results = self.tiles[index], self.results[index]
        given = [self.loaded[stream] for stream, _ in tile.loads]
        targets = ", ".join(results[node] for node in self.bodies[index].results)
        comma = "," if len(results) == 1 else ""
        lines = wrapped(f"({targets}{comma}) = {tile.name}_body", "(", given, ")").split("\n") if results else []
        return lines + [f"{self.totals[stream]} += {results[node]}" for stream, node in tile.sums]

    def step_end(self) -> list[str]:
        """Return the lines that make the values after a step those before the next one."""
        kind = "d_state" if self.backward else "next"
        return [f"{name} = {self.loaded[Stream(kind, s)]}" for s, name in self.own.items()]

    def enter(self, size: str = HIDDEN) -> list[str]:
        """Return the lines that read what a row's unit of a size begins with."""
        lines = []
        block = {"backward": "d_states[steps % 2", "forward": "states[start % 2", "training": "states[0"}[self.kind]
        for state, index in self._states_of(size):
            lines.append(f"{self.own[state]} = {block}, row, {index}, {self.unit(size)}]")
        units = (s for s in self.loaded if s.kind == "unit" and self.size_of[s] == size)
        return lines + [f"{self.loaded[s]} = {self.place(s)}" for s in units]

    def leave_states(self, size: str = HIDDEN) -> list[str]:
        """Return the lines that write the states that a row's unit ends with, where the steps have not written them."""
        place = {"backward": "d_states[0", "forward": "states[(start + steps) % 2", "training": ""}[self.kind]
        states = self._states_of(size) if place else ()
        return [f"{place}, row, {index}, {self.unit(size)}] = {self.own[state]}" for state, index in states]

    def _states_of(self, size: str) -> list[tuple[str, int]]:
        return [(state, index) for index, state in enumerate(self.own) if self.size_of_state[state] == size]

    def leave_sums(self, size: str = HIDDEN) -> list[str]:
        """Return the lines that write the sums over the steps."""
        totals = {stream: name for stream, name in self.totals.items() if self.size_of[stream] == size}
        return [f"{self.place_of_sum(stream)} += {name}" for stream, name in totals.items()]

    def place_of_sum(self, stream: Stream) -> str:
        """Return where the sum of a vector over the steps lies."""
        return f"d_units[0, row, {index_of(stream, self.blocks)}, {self.unit(self.size_of[stream])}]"

    def sizes(self) -> list[str]:
        """Return the lines that read the sizes of a call off its arguments."""
        lines = ["steps = slots.shape[0]"] if self.backward else []
        total = "total" if self.kind == "forward" else "steps"
        name = "dy" if self.backward else "y"
        # Of y and dy only the last steps are there.
        return [*lines, "batch = slots.shape[1]", f"skipped = {total} - {name}.shape[0]"]

    def all_variables(self) -> list[str]:
        """Return every variable that is assigned where a thread has a row and a unit."""
        found = [*self.loaded.values(), *(v for results in self.results for v in results.values())]
        return list(dict.fromkeys([*found, *self.totals.values()]))

    def kernel(self, name: str, lines: list[str], mark: str = "kernel") -> str:
        """Return the source of a kernel with the arguments of this one."""
        return "\n".join([f"@{mark}", wrapped(f"def {name}", "(", list(self.given), "):"), *indented(lines)])

    def file(self, how: str, kernels: list[str], mark: str = "kernel", imports: str = "") -> str:
        """Return a whole file: ``how`` says in its docstring how it works."""
        head = HEADER.format(name=self.program.name, how=how, mark=mark) + imports
        start = (head + "\n" + self.numbers.source()).rstrip()
        text = "\n\n\n".join([start, *kernels]) + "\n"
        return "\n".join(folded(line) for line in text.split("\n"))


def indented(lines: list[str], by: int = 1) -> list[str]:
    """Return the lines further to the right."""
    return ["    " * by + line for line in lines]
