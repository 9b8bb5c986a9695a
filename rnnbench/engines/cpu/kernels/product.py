"""Matrix products on register tiles, for weights packed in panels of a few vectors.

A tile keeps height x width vectors of the result in registers and adds one rank-1 update per step of the inner
dimension. ``product`` reads its left operand along rows (a recurrent product); ``product_transposed`` reads it down
columns (a weight gradient, whose inner dimension is time and batch). Addresses and strides are in bytes.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import layout
from .compiled import body, kernel
from .layout import A_STRIDE, B_STRIDE, C0, C0_STRIDE, C_STRIDE, COPY_OF_A, COPY_OF_B, INNER_BLOCK, INNER_SIZE, A, B, C
from .setting import LANES, REGISTERS
from .vector import (
    ELEMENT,
    INDEX,
    SIZE,
    VALUES,
    address,
    broadcast,
    integer_at,
    load,
    load_part,
    load_vector,
    multiply_add,
    pointer,
    store,
    store_vector,
)  # fmt: skip

VECTORS = layout.VECTORS[REGISTERS]
PANEL = VECTORS * LANES
ROWS = layout.ROWS[REGISTERS]
# Independent sums that hide the latency of a multiply-add: a short tile spreads the inner dimension over several.
CHAINS = 16 if REGISTERS == 32 else 8
UNROLL = 4  # steps of the inner dimension in one turn of a tile's loop

BYTE = ir.IntType(8)


def _tile_function(module: ir.Module, rows: int, vectors: int, transposed: bool) -> ir.Function:
    """Return the function C = C0 + A B for one tile; ``transposed``: the inner dimension runs down A's columns.

    A function for each size, never inlined: among the live values of all sizes together LLVM would run out of
    address registers within the loops.
    """
    name = f"tile_{rows}x{vectors}{'_transposed' if transposed else ''}"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INDEX] * 9), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride = function.args

    def constant(n: int) -> ir.Constant:
        return ir.Constant(INDEX, n)

    def numbers_of(start: ir.Value, stride: ir.Value) -> list[ir.Value]:
        return [builder.add(start, builder.mul(stride, constant(r))) for r in range(rows)]

    def rows_of(start: ir.Value, stride: ir.Value) -> list[ir.Value]:
        return [pointer(builder, row) for row in numbers_of(start, stride)]

    def lane(start: ir.Value, v: int) -> ir.Value:
        return builder.gep(start, [constant(v * LANES * SIZE)], source_etype=BYTE)

    chains = max(1, min(UNROLL, CHAINS // (rows * vectors)))
    chains -= chains == 3
    total = [
        [[cgutils.alloca_once(builder, VALUES) for _ in range(vectors)] for _ in range(rows)] for _ in range(chains)
    ]
    turns = [total[n % chains] for n in range(UNROLL)]
    for r, row in enumerate(rows_of(c0, c0_stride)):
        for v in range(vectors):
            builder.store(load_vector(builder, lane(row, v)), total[0][r][v])
            for chain in total[1:]:
                builder.store(ir.Constant(VALUES, [0.0] * LANES), chain[r][v])
    # An address register for each row: seen through, LLVM would add its way from row to row within the loop.
    opaque = ir.InlineAsm(ir.FunctionType(a.type, [a.type]), "", "=r,0")
    a_rows = [] if transposed else [pointer(builder, builder.call(opaque, [row])) for row in numbers_of(a, a_stride)]

    def update(k: ir.Value, sums: list) -> None:
        b_row = pointer(builder, b, builder.mul(k, b_stride))
        values = [load_vector(builder, lane(b_row, v)) for v in range(vectors)]
        a_column = pointer(builder, a, builder.mul(k, a_stride)) if transposed else None
        for r in range(rows):
            if transposed:
                where = builder.gep(a_column, [constant(r * SIZE)], source_etype=BYTE)
            else:
                where = builder.gep(a_rows[r], [k], source_etype=ELEMENT)
            x = broadcast(builder, builder.load(where, typ=ELEMENT))
            for v in range(vectors):
                builder.store(multiply_add(builder, x, values[v], builder.load(sums[r][v])), sums[r][v])

    whole = builder.mul(builder.udiv(depth, constant(UNROLL)), constant(UNROLL))
    with cgutils.for_range_slice(builder, constant(0), whole, constant(UNROLL)) as (k, _):
        for n, sums in enumerate(turns):
            update(builder.add(k, constant(n)), sums)
    with cgutils.for_range_slice(builder, whole, depth, constant(1)) as (k, _):
        update(k, total[0])
    for r, row in enumerate(rows_of(c, c_stride)):
        for v in range(vectors):
            value = builder.load(total[0][r][v])
            for chain in total[1:]:
                value = builder.fadd(value, builder.load(chain[r][v]))
            store_vector(builder, value, lane(row, v))
    builder.ret_void()
    return function


def _make_tile(transposed: bool):
    """Return the tile of any size up to the largest."""

    @intrinsic
    def tile(typingctx, vectors, height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride):
        def generate(context, builder, sig, args):
            end = builder.append_basic_block("tiled")
            tallest = max(ROWS.values())
            size = builder.add(builder.mul(args[0], ir.Constant(INDEX, tallest + 1)), args[1])
            choice = builder.switch(size, end)
            for width, most in ROWS.items():
                for rows in range(1, most + 1):
                    block = builder.append_basic_block(f"tile_{rows}x{width}")
                    choice.add_case(ir.Constant(INDEX, width * (tallest + 1) + rows), block)
                    builder.position_at_end(block)
                    builder.call(_tile_function(builder.module, rows, width, transposed), args[2:])
                    builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*[address] * 11), generate

    return tile


tile, tile_transposed = _make_tile(False), _make_tile(True)
# Rows of a product from which on a part of a panel is copied first: read in place, its rows would lie in as many pages.
WORTH_COPYING = 24
TALLEST = ROWS[VECTORS]
TALLEST_NARROW = ROWS[1]


@body
def next_width(vectors):
    """Return the width in vectors of the next tile: a whole panel, half of one, or one vector."""
    return VECTORS if vectors >= VECTORS else (2 if vectors >= 2 else 1)


@body
def next_height(rows, width):
    """Return the height of the next tile: rows are split into tiles of nearly equal height, 10 into 5 + 5."""
    tallest = TALLEST if width == VECTORS else TALLEST_NARROW
    tiles = (rows + tallest - 1) // tallest
    return (rows + tiles - 1) // tiles


# C [rows, vectors] = C0 + A B with A [rows, depth], or stored as [depth, rows] in the transposed form.


@kernel
def product(operands, rows, vectors):
    a, a_stride = integer_at(operands, A), integer_at(operands, A_STRIDE)
    b, b_stride, depth = integer_at(operands, B), integer_at(operands, B_STRIDE), integer_at(operands, INNER_SIZE)
    c0, c0_stride = integer_at(operands, C0), integer_at(operands, C0_STRIDE)
    c, c_stride = integer_at(operands, C), integer_at(operands, C_STRIDE)
    while vectors > 0:
        width = next_width(vectors)
        row = 0
        while row < rows:
            height = next_height(rows - row, width)
            at, start, end = a + row * a_stride, c0 + row * c0_stride, c + row * c_stride
            tile(width, height, at, a_stride, b, b_stride, depth, start, c0_stride, end, c_stride)
            row += height
        step = width * LANES * SIZE
        b, c0, c, vectors = b + step, c0 + step, c + step, vectors - width


@kernel
def product_transposed(operands, rows, vectors):
    a, a_stride = integer_at(operands, A), integer_at(operands, A_STRIDE)
    b, b_stride, depth = integer_at(operands, B), integer_at(operands, B_STRIDE), integer_at(operands, INNER_SIZE)
    c0, c0_stride = integer_at(operands, C0), integer_at(operands, C0_STRIDE)
    c, c_stride = integer_at(operands, C), integer_at(operands, C_STRIDE)
    tiles_of_a = integer_at(operands, COPY_OF_A)
    while vectors > 0:
        width = next_width(vectors)
        k, from_row, from_stride = 0, c0, c0_stride
        while k < depth:
            inner = min(INNER_BLOCK, depth - k)
            panel, panel_stride = b + k * b_stride, b_stride
            if rows >= WORTH_COPYING:
                panel, panel_stride = integer_at(operands, COPY_OF_B), width * LANES * SIZE
                for n in range(inner):
                    for v in range(0, panel_stride, LANES * SIZE):
                        store(panel, n * panel_stride + v, load(b + (k + n) * b_stride, v))
            row = 0
            while row < rows:
                height = next_height(rows - row, width)
                at, at_stride = a + k * a_stride + row * SIZE, a_stride
                if width == VECTORS and tiles_of_a != 0:
                    at, at_stride = tiles_of_a + (row * depth + k * height) * SIZE, height * SIZE
                start, end = from_row + row * from_stride, c + row * c_stride
                tile_transposed(
                    width, height, at, at_stride, panel, panel_stride, inner, start, from_stride, end, c_stride
                )
                row += height
            k, from_row, from_stride = k + inner, c, c_stride
        step = width * LANES * SIZE
        b, c0, c, vectors = b + step, c0 + step, c + step, vectors - width


@body
def copy_for_tiles(a, a_stride, depth, rows, target):
    """Copy A [depth, rows] in the order in which the widest tiles of ``product_transposed`` read it."""
    row = 0
    while row < rows:
        height = next_height(rows - row, VECTORS)
        for k in range(depth):
            # What is stored beyond the height is overwritten by the next copy.
            for v in range(0, height, LANES):
                value = load_part(a + k * a_stride, (row + v) * SIZE, height - v)
                store(target, (row * depth + k * height + v) * SIZE, value)
        row += height
