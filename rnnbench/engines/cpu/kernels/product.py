"""Matrix products on register tiles, for weights packed in panels of the vector width.

A tile keeps height x width vectors of the result in registers and adds one rank-1 update per step of the inner
dimension. ``product`` reads its left operand along rows (a recurrent product); ``product_transposed`` reads it down
columns (a weight gradient, whose inner dimension is time and batch). Addresses and strides are in bytes.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import body, kernel
from .setting import LANES, REGISTERS
from .vector import (
    ELEMENT,
    INDEX,
    SIZE,
    VALUES,
    address,
    broadcast,
    load_vector,
    multiply_add,
    pointer,
    store_vector,
)  # fmt: skip

VECTORS = 2  # a panel's width in vectors
PANEL = VECTORS * LANES
# Tallest tiles, by number of vector registers: accumulators, the panel's vectors and broadcast values share those. Rows
# read along their length also take an address register each, of which there are few: 12 rows spill, 8 do not.
ROWS = {16: 6, 32: 8}[REGISTERS]
ROWS_TRANSPOSED = {16: 6, 32: 12}[REGISTERS]

BYTE = ir.IntType(8)


def _tile_function(module: ir.Module, rows: int, vectors: int, transposed: bool) -> ir.Function:
    """Return the function C = C0 + A B for one tile; ``transposed``: the inner dimension runs down A's columns.

    A function for each height, never inlined: among the live values of all heights together LLVM would run out of
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

    def rows_of(start: ir.Value, stride: ir.Value) -> list[ir.Value]:
        return [pointer(builder, start, builder.mul(stride, constant(r))) for r in range(rows)]

    def lane(start: ir.Value, v: int) -> ir.Value:
        return builder.gep(start, [constant(v * LANES * SIZE)], source_etype=BYTE)

    total = [[cgutils.alloca_once(builder, VALUES) for _ in range(vectors)] for _ in range(rows)]
    for r, row in enumerate(rows_of(c0, c0_stride)):
        for v in range(vectors):
            builder.store(load_vector(builder, lane(row, v)), total[r][v])
    a_rows = [] if transposed else rows_of(a, a_stride)
    with cgutils.for_range(builder, depth) as loop:
        k = loop.index
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
                builder.store(multiply_add(builder, x, values[v], builder.load(total[r][v])), total[r][v])
    for r, row in enumerate(rows_of(c, c_stride)):
        for v in range(vectors):
            store_vector(builder, builder.load(total[r][v]), lane(row, v))
    builder.ret_void()
    return function


def _make_tile(vectors: int, transposed: bool):
    """Return the tile of any height up to the tallest."""

    @intrinsic
    def tile(typingctx, height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride):
        def generate(context, builder, sig, args):
            end = builder.append_basic_block("tiled")
            choice = builder.switch(args[0], end)
            for rows in range(1, (ROWS_TRANSPOSED if transposed else ROWS) + 1):
                block = builder.append_basic_block(f"rows_{rows}")
                choice.add_case(ir.Constant(INDEX, rows), block)
                builder.position_at_end(block)
                builder.call(_tile_function(builder.module, rows, vectors, transposed), args[1:])
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*[address] * 10), generate

    return tile


wide, narrow = _make_tile(VECTORS, False), _make_tile(1, False)
wide_transposed, narrow_transposed = _make_tile(VECTORS, True), _make_tile(1, True)


@body
def even(M, tallest):
    """Return the height of the next tile: M rows are split into tiles of nearly equal height, 10 into 5 + 5."""
    tiles = (M + tallest - 1) // tallest
    return (M + tiles - 1) // tiles


# C [M, panel] = C0 + A B with A [M, depth], or stored as [depth, M] in the transposed forms. Four functions and not one
# made four times over: Numba's cache does not find functions that close over an intrinsic again.


@kernel
def product_wide(a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride, M):
    while M > 0:
        height = even(M, ROWS)
        wide(height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride)
        a, c0, c, M = a + height * a_stride, c0 + height * c0_stride, c + height * c_stride, M - height


@kernel
def product_narrow(a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride, M):
    while M > 0:
        height = even(M, ROWS)
        narrow(height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride)
        a, c0, c, M = a + height * a_stride, c0 + height * c0_stride, c + height * c_stride, M - height


@kernel
def product_wide_transposed(a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride, M):
    while M > 0:
        height = even(M, ROWS_TRANSPOSED)
        wide_transposed(height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride)
        a, c0, c, M = a + height * SIZE, c0 + height * c0_stride, c + height * c_stride, M - height


@kernel
def product_narrow_transposed(a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride, M):
    while M > 0:
        height = even(M, ROWS_TRANSPOSED)
        narrow_transposed(height, a, a_stride, b, b_stride, depth, c0, c0_stride, c, c_stride)
        a, c0, c, M = a + height * SIZE, c0 + height * c0_stride, c + height * c_stride, M - height
