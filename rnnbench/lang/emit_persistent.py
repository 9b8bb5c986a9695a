"""Write a Program whose units read one another as persistent CUDA source: one kernel runs all time steps.

A block of threads holds the weights of its own units for the whole sequence, or its heads' matrix states. What others
read is published through global memory, and a barrier among the blocks of one group of rows stands where it is read; a
block that has all units of a part has them in shared memory, and waits for nobody. Every thread owns one unit of one
row, whose states stay in its registers.
"""

from __future__ import annotations

from rnnbench.lang.emit import Numbers
from rnnbench.lang.emit_lanes import Lanes
from rnnbench.lang.emit_loops import Writer, indented
from rnnbench.lang.emit_products import simple_product, tensor_product
from rnnbench.lang.emit_unit_operations import UnitOperations
from rnnbench.lang.exchange import exchange
from rnnbench.lang.recurrent_products import publishes, size_of
from rnnbench.lang.resident import DEPTHS, ITEMSIZE, Shape, Width
from rnnbench.lang.sizes import HIDDEN
from rnnbench.lang.tiles import Stream, slot_names, transposed_names
from rnnbench.lang.trace import Program

# What kernels/primitives.py has for the kernels written here.
PRIMITIVES = (
    "COUNTER_STRIDE", "arrive", "load_fragment", "load_published", "load_published_fragment", "load_value",
    "load_vector", "multiply_bfloat16", "multiply_float16", "multiply_rows", "multiply_tf32", "resident_halves",
    "resident_values", "store_value", "to_bfloat16", "to_float16", "to_tf32", "wait",
)  # fmt: skip
HOW = "{blocks} blocks of {threads} threads share a group of {rows} rows, {units} units each"


def persistent_source(program: Program, kind: str, shape: Shape | None) -> str:
    """Return the source of the kernel ``kind``: "forward", "training" or "backward".

    ``shape`` belongs to programs whose units read one another, and is None for others.
    """
    return Lanes(program, kind).source() if shape is None else _Resident(program, kind, shape).source()


class _Resident(Writer):
    """The kernel of a program whose units read one another."""

    def __init__(self, program: Program, kind: str, shape: Shape) -> None:
        self.exchange = exchange(program, kind)
        super().__init__(program, kind, self.exchange.tiles, Numbers())
        self.shape = shape
        self.products, self.operands = self.exchange.products, self.exchange.operands
        self.barriers = self.exchange.barriers
        self.alone = shape.blocks == 1
        self.halves = ITEMSIZE[shape.precision] == 2
        self.held = "halves" if self.halves else "shared"
        self.weights_at = shape.weights(self.exchange)
        places, of_value = shape.shared(self.exchange), ITEMSIZE[shape.dtype]
        self.shown_at, self.sums_at = places.published // ITEMSIZE[shape.precision], places.sums // of_value
        self.zeros = (places.sums - places.published) // ITEMSIZE[shape.precision]
        self.arguments_at, self.matrices_at = places.arguments // of_value, places.matrices // of_value
        self.registers: dict[tuple[int, int, int, int], str] = {}  # of weights: product, operand, round, columns / 8
        self.finished = slot_names(program) if kind != "backward" else transposed_names(program)
        self.others = UnitOperations(self)

    def source(self) -> str:
        """Return the file."""
        shape = self.shape
        resident = ["shared = resident_values()", *(["halves = resident_halves()"] if self.halves else [])]
        many = shape.parts > 1
        lines = [
            *self.sizes(),
            "thread = cuda.threadIdx.x",
            "block = cuda.blockIdx.x",
            "group = cuda.blockIdx.y",
            "groups = cuda.gridDim.y",
            *(["part = cuda.blockIdx.z", "gang = part * groups + group"] if many else []),
            f"waves = (batch + {shape.rows} * groups - 1) // ({shape.rows} * groups)",
            f"published_rows = {shape.rows} * groups * waves{f' * {shape.parts}' if many else ''}",
            *([f"above = part * (published_rows // {shape.parts})"] if many else []),
            *resident,
            f"own_row = thread // {shape.units}",
            f"own_unit = thread % {shape.units}",
            *(line for width in shape.widths for line in self._own_unit(width)),
            *self._hold_weights(),
            *([] if self.alone else [f"target = counters[{self.gang} * COUNTER_STRIDE + 1]"]),
            "for wave in range(waves):",
            *indented(self._wave()),
            *([] if self.alone else self._remember()),
        ]
        how = HOW.format(blocks=shape.blocks, threads=shape.threads, rows=shape.rows, units=shape.units)
        how += f" of one of {shape.parts} parts" if many else ""
        if self.products:
            where = "in registers" if shape.in_registers else "in shared memory"
            how += f"; a product multiplies {shape.precision}."
            how += f"\nEach block holds its columns of the recurrent weights {where}"
        how += ".\nMatrix states lie in shared memory." if self.exchange.matrices else "."
        kernel = self.kernel(self.kind, lines, f"resident_kernel({shape.threads})")
        bodies = [made.source for made in self.bodies]
        return self.file(how, [*bodies, kernel], "resident_kernel", self._imports(lines))

    @property
    def gang(self) -> str:
        """The number of a block's gang, of all that wait for one another."""
        return "gang" if self.shape.parts > 1 else "group"

    def at_place(self, size: str) -> str:
        """Return the variable that holds a thread's unit of a size within its part."""
        return self.unit(size).replace("unit", "place", 1) if self.shape.parts > 1 else self.unit(size)

    def _own_unit(self, width: Width) -> list[str]:
        """Return the lines that number a thread's unit of a size, in its part and among all."""
        lines = [f"{self.at_place(width.size)} = block * {width.units} + own_unit"]
        if self.shape.parts > 1:
            lines.append(f"{self.unit(width.size)} = part * {width.count} + {self.at_place(width.size)}")
        return lines

    @staticmethod
    def _imports(lines: list[str]) -> str:
        """Return the import of the primitives that the lines use."""
        text = "\n".join(lines)
        used = [name for name in PRIMITIVES if f"{name}(" in text or name == "COUNTER_STRIDE" and name in text]
        one = f"from .primitives import {', '.join(used)}\n"
        return one if len(one) <= 121 else "from .primitives import (\n" + "".join(f"    {n},\n" for n in used) + ")\n"

    def _hold_weights(self) -> list[str]:
        """Return the lines that bring the block's weights in, and clear what is published in shared memory."""
        shape, count = self.shape, self.weights_at[-1]
        vector = 16 // ITEMSIZE[shape.precision]
        own = f"(part * {shape.blocks} + block)" if shape.parts > 1 else "block"
        lines = []
        if not self.products:
            pass
        elif shape.in_registers:
            part = DEPTHS[shape.precision] // 4
            lines.append(f"lane = thread % 32 * {part}")
            for p, (product, spread) in enumerate(zip(self.products, shape.spreads, strict=True)):
                # Warps without a part of K multiply nothing; they read what another holds.
                lines.append(f"warp = min(thread // 32, {spread.splits - 1})")
                for o in range(len(product.operands)):
                    for r in range(spread.rounds):
                        for c in range(spread.columns // 8):
                            name = self.names.new(f"w_{p}_{o}_{r}_{c}")
                            self.registers[p, o, r, c] = name
                            chunk = o * spread.splits * spread.rounds + r * spread.splits
                            at = self.weights_at[p] + (chunk * spread.columns + 8 * c) * DEPTHS[shape.precision]
                            step = spread.columns * DEPTHS[shape.precision]
                            place = f"{own} * {count} + {at} + warp * {step} + lane"
                            lines.append(f"{name} = load_fragment(weights, {place})")
        else:
            lines += [
                f"for at in range(thread * {vector}, {count}, {shape.threads * vector}):",
                f"    vector = load_vector(weights, {own} * {count} + at)",
                *(f"    {self.held}[at + {i}] = vector[{i}]" for i in range(vector)),
            ]
        if self.alone and self.zeros:
            zero = f"{self.held}[at] = 0" if self.halves else f"{self.held}[at] = {self.zero}"
            lines += [
                f"for at in range({self.shown_at} + thread, {self.shown_at + self.zeros}, {shape.threads}):",
                f"    {zero}",
            ]
        return [*lines, *self.others.clear(), "cuda.syncthreads()"]

    def _wave(self) -> list[str]:
        """Return the lines that run all steps of the rows of one wave."""
        shape, meets_first = self.shape, 0 in self.barriers
        states = {Stream("state", s): name for s, name in self.own.items()}
        initial = {width.size: self._initial(states, width.size) for width in shape.widths}
        begins = {"backward": None, "forward": "now = start % 2", "training": "now = 0"}[self.kind]
        loop = "index" if self.backward or self.kind == "forward" else "t"
        step = {"backward": ["t = steps - 1 - index"], "forward": ["t = start + index"], "training": []}[self.kind]
        return [
            f"first = (wave * groups + group) * {shape.rows}",
            "row = first + own_row",
            *(self._is_active(width) for width in shape.widths),
            *(f"{name} = {self.zero}" for name in self.all_variables()),
            *([begins] if begins and any(initial.values()) else []),
            *(line for size in initial for line in self._active([*self.enter(size), *initial[size]], size)),
            *self._active(self.others.enter()),
            *(self._arrive() if meets_first or self.alone else []),
            f"for {loop} in range(steps):",
            *indented([*step, "now = t % 2", "later = 1 - now"]),
            *indented(self.others.step_begin()),
            *indented([line for index in range(len(self.tiles)) for line in self._tile(index)]),
            *indented(self.others.step_end()),
            *indented(self.step_end()),
            *(self._wait() if meets_first else []),
            *(
                line
                for width in shape.widths
                for line in self._active([*self.leave_states(width.size), *self.leave_sums(width.size)], width.size)
            ),
            *self._active(self.others.leave()),
        ]

    def _initial(self, states: dict[Stream, str], size: str) -> list[str]:
        """Return the lines that publish initial states of a size."""
        shown = [s for s in self.operands if s in states and self.size_of_state[s.name] == size]
        return [line for s in shown for line in self._publish(s, states[s], "now", size)]

    def _is_active(self, width: Width) -> str:
        """Return the line that tells whether a thread has a row and a unit of a size."""
        shape, place = self.shape, self.at_place(width.size)
        few = "" if width.units == shape.units else f"own_unit < {width.units} and "
        ends = f"{few}{place} < {width.count} and row < batch"
        return f"{self.active(width.size)} = thread < {shape.rows * shape.units} and {ends}"

    def active(self, size: str) -> str:
        """Return the variable that tells whether a thread has a row and a unit of a size."""
        return self.unit(size).replace("unit", "active", 1)

    def _active(self, lines: list[str], size: str = HIDDEN) -> list[str]:
        return [f"if {self.active(size)}:", *indented(lines)] if lines else []

    def _arrive(self) -> list[str]:
        return ["cuda.syncthreads()" if self.alone else f"arrive(counters, {self.gang})"]

    def _wait(self) -> list[str]:
        """Return the lines that wait for the others; a block that is alone has waited when it arrived."""
        return [] if self.alone else [f"target += {self.shape.blocks}", f"wait(counters, {self.gang}, target)"]

    def _remember(self) -> list[str]:
        """Return the lines that say where the next launch begins to count."""
        return ["if block == 0 and thread == 0:", f"    counters[{self.gang} * COUNTER_STRIDE + 1] = target"]

    def _tile(self, index: int) -> list[str]:
        """Return the lines of one stage."""
        tile, size = self.tiles[index], self.size(index)
        lines = [f"# stage {index}", *self._active(self._fetch(index), size)]
        here = [(p, product) for p, product in enumerate(self.products) if product.tile == index]
        if index in self.barriers:
            lines += self._wait()
        elif here:
            lines.append("cuda.syncthreads()")
        sums: list[str] = []
        place = self.sums_at
        for p, product in here:
            spread = self.shape.spreads[p]
            write = tensor_product if self.shape.tensor else simple_product
            lines += write(self, p, place)
            for c, result in enumerate(product.results):
                if result in self.loaded:
                    at = f"(split * {self.shape.rows} + own_row) * {spread.columns} + own_unit"
                    sums += [
                        f"for split in range({spread.splits}):",
                        f"    {self.loaded[result]} += load_value(shared, "
                        f"{place + c * self.shape.width(size).units} + {at})",
                    ]
            place += spread.splits * self.shape.rows * spread.columns
        if here:
            lines.append("cuda.syncthreads()")
        results = self.results[index]
        shown = [
            line
            for stream, node in publishes(tile, self.operands)
            for line in self._publish(stream, results[node], "later" if stream.kind == "state" else "now", size)
        ]
        given = [(s, results[node]) for s, node in tile.stores if s.kind == "argument"]
        shown += self.others.keep(given)
        lines += self._active([*sums, *self.others.results(index), *self.call(index), *shown], size)
        lines += self.others.publish([stream for stream, _ in given])
        if (index + 1) % len(self.tiles) in self.barriers:
            lines += self._arrive()
        return lines + self._active(self.stores(index), size)

    def size(self, index: int) -> str:
        """Return the size of a tile's vectors."""
        return size_of(self.program, self.tiles[index].size)

    def _fetch(self, index: int) -> list[str]:
        """Return the lines that read what a stage needs from global memory, before it waits for others."""
        result = "transposed" if self.backward else "slot"
        products = [n for tile in self.tiles for n in tile.products if n in self.finished]
        finished = {Stream(result, self.finished[node]) for node in products}
        here = [Stream(result, self.finished[n]) for n in self.tiles[index].products if n in self.finished]
        lines = []
        for stream in here:
            if stream in self.loaded:
                name = self.loaded[stream]
                lines += [f"{name} = {self.zero}"] if self.backward else self.load(stream, name)
        earlier = {stream for tile in self.tiles[:index] for stream, _ in tile.loads}
        for stream, _ in self.tiles[index].loads:
            if self.is_loaded(stream) and stream not in finished and stream not in earlier:
                lines += self.load(stream, self.loaded[stream])
        return lines

    def _publish(self, stream: Stream, value: str, side: str, size: str) -> list[str]:
        """Return the lines that show one value to all blocks; ``side`` of the two places, "now" or "later"."""
        shape, index = self.shape, self.operands.index(stream)
        converted = f"to_{shape.precision}({value})" if shape.tensor else value
        if self.alone:
            row = f"(({side} * {len(self.operands)} + {index}) * {shape.rows} + own_row)"
            return [f"{self.held}[{self.shown_at} + {row} * {shape.depth} + own_unit] = {converted}"]
        row = f"(({side} * {len(self.operands)} + {index}) * published_rows + {self.above}row)"
        return [f"published[{row} * {shape.depth} + {self.at_place(size)}] = {converted}"]

    @property
    def above(self) -> str:
        """What is added to a row where other parts' rows lie before it."""
        return "above + " if self.shape.parts > 1 else ""
