"""A thread's own memory for a matrix state over a chunk of steps, and what ``chunk.py`` and ``chunk_back.py`` do with
it: products, transposes and copies of a head's matrix.

All of it is per sequence and head: D units of the head, in rows of whole vectors, zero beyond D. The forward's arrays
come first, then those that only a backward has.
"""

from .compiled import body
from .layout import (
    A_STRIDE,
    B_STRIDE,
    C0,
    C0_STRIDE,
    C_STRIDE,
    CHUNK_STEPS,
    COPY_OF_A,
    COPY_OF_B,
    FRAME_BYTES,
    FRAMES,
    INNER_BLOCK,
    INNER_SIZE,
    MEMORY,
    MEMORY_HEADS,
    MOST_MATRIX,
    PRODUCT,
    PRODUCT_TRANSPOSED,
    STATE,
    STATE_CHUNK,
    STATE_ROW,
    UNITS,
    WORK,
    WORK_BYTES,
    A,
    B,
    C,
)  # fmt: skip
from .product import PANEL
from .setting import LANES
from .streams import step_bytes, stream_at
from .vector import (
    SIZE,
    call,
    constant,
    integer_at,
    load,
    load_part,
    set_integer,
    splat,
    store,
    store_part,
    transpose_block,
)  # fmt: skip

ZERO, ONE = constant(0.0), constant(1.0)
BLOCK = 12  # steps whose reads and values are found one after the other; of those before, by products

# Arrays of a thread, counted in slabs of one row a step: P has one row more. Then transposed keys, A and matrices.
SLAB_P, SLAB_QUERY = 0, 2


@body
def padded(size):
    """Return a size rounded up to whole vectors."""
    return (size + LANES - 1) // LANES * LANES


@body
def head_size(plan):
    """Return the units of a head."""
    return integer_at(plan, UNITS) // integer_at(integer_at(plan, MEMORY), MEMORY_HEADS)


@body
def slab_bytes(plan):
    """Return the bytes of one vector over the units of a head for every step of a chunk."""
    return padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS)) * padded(head_size(plan)) * SIZE


@body
def slab(plan, work, index):
    """Return where a slab begins."""
    return work + index * slab_bytes(plan)


@body
def scaled_query(plan, work, j):
    """Return where the queries times P are."""
    return slab(plan, work, SLAB_QUERY + j)


@body
def read_rows(plan, work, j):
    """Return where what was read is."""
    return slab(plan, work, SLAB_QUERY + MOST_MATRIX + j)


@body
def early_key(plan, work, r):
    """Return where the keys over P are."""
    return slab(plan, work, SLAB_QUERY + 2 * MOST_MATRIX + r)


@body
def late_key(plan, work, r):
    """Return where the keys are, times the decays after them."""
    return slab(plan, work, SLAB_QUERY + 3 * MOST_MATRIX + r)


@body
def value_rows(plan, work, r):
    """Return where the values are."""
    return slab(plan, work, SLAB_QUERY + 4 * MOST_MATRIX + r)


@body
def turned_key(plan, work, r):
    """Return where the transposed keys over P are, a row for each unit."""
    return slab(plan, work, SLAB_QUERY + 5 * MOST_MATRIX + r)


@body
def weights_bytes(plan):
    """Return the bytes of one A."""
    steps = padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))
    return steps * steps * SIZE


@body
def weights(plan, work, j, r):
    """Return where A_jr is."""
    return slab(plan, work, SLAB_QUERY + 6 * MOST_MATRIX) + (j * MOST_MATRIX + r) * weights_bytes(plan)


@body
def forward_end(plan, work):
    """Return where the forward's arrays end but for the matrix, the row of padding and the copy of a panel."""
    return weights(plan, work, MOST_MATRIX, 0)


@body
def square_bytes(plan):
    """Return the bytes of a matrix of the head."""
    return padded(head_size(plan)) * padded(head_size(plan)) * SIZE


@body
def padding_row(plan, work):
    """Return a row of zeros for units and ones beyond them."""
    return forward_end(plan, work)


@body
def zero_row(plan, work):
    """Return a row of zeros."""
    steps = padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))
    return forward_end(plan, work) + max(padded(head_size(plan)), steps) * SIZE


@body
def matrix_place(plan, work):
    """Return where the matrix at the start of the chunk is."""
    steps = padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))
    return forward_end(plan, work) + 2 * max(padded(head_size(plan)), steps) * SIZE


@body
def panel_place(plan, work):
    """Return where the copy of a panel is, the last of the forward's arrays."""
    return matrix_place(plan, work) + square_bytes(plan)


@body
def own_work(plan, thread):
    """Return where a thread's arrays begin."""
    memory = integer_at(plan, MEMORY)
    return integer_at(memory, WORK) + thread * integer_at(memory, WORK_BYTES)


@body
def operands_of(plan, thread):
    """Return the thread's table of a product's operands."""
    return integer_at(plan, FRAMES) + thread * integer_at(plan, FRAME_BYTES)


@body
def factors(operands, a, a_stride, b, b_stride, depth):
    """Set what is multiplied."""
    set_integer(operands, A, a)
    set_integer(operands, A_STRIDE, a_stride)
    set_integer(operands, B, b)
    set_integer(operands, B_STRIDE, b_stride)
    set_integer(operands, INNER_SIZE, depth)


@body
def result(operands, start, start_stride, to, to_stride):
    """Set what the product is added to, and where the sum goes."""
    set_integer(operands, C0, start)
    set_integer(operands, C0_STRIDE, start_stride)
    set_integer(operands, C, to)
    set_integer(operands, C_STRIDE, to_stride)


@body
def multiply(plan, operands, rows, columns):
    """Run C = C0 + A B."""
    call(integer_at(plan, PRODUCT), (operands, rows, columns // LANES))


@body
def multiply_turned(plan, operands, rows, columns, panel):
    """Run C = C0 + A^T B."""
    set_integer(operands, COPY_OF_B, panel)
    set_integer(operands, COPY_OF_A, 0)
    call(integer_at(plan, PRODUCT_TRANSPOSED), (operands, rows, columns // LANES))


@body
def turn(source, source_stride, rows, columns, target, target_stride):
    """Transpose rows by columns, both padded to whole vectors."""
    for row in range(0, rows, LANES):
        for column in range(0, columns, LANES):
            start, end = source + row * source_stride + column * SIZE, target + column * target_stride + row * SIZE
            transpose_block(start, source_stride, end, target_stride)


@body
def add_row(target, source, factor, width):
    """Add a row to another, or take it away where ``factor`` is below zero."""
    for d in range(0, width, LANES):
        other = load(source, d * SIZE)
        store(target, d * SIZE, load(target, d * SIZE) + (other if factor > 0 else -other))


@body
def load_square(source, units, target):
    """Copy a matrix without padding to one with it."""
    width = padded(units)
    for k in range(units):
        for d in range(0, width, LANES):
            store(target + k * width * SIZE, d * SIZE, load_part(source + k * units * SIZE, d * SIZE, units - d))
    for k in range(units, width):
        for d in range(0, width, LANES):
            store(target + k * width * SIZE, d * SIZE, splat(ZERO))


@body
def store_square(source, units, target):
    """Copy a matrix with padding to one without it."""
    width = padded(units)
    for k in range(units):
        for d in range(0, width, LANES):
            store_part(target + k * units * SIZE, d * SIZE, load(source + k * width * SIZE, d * SIZE), units - d)


@body
def clear_rows(plan, work):
    """Set the row of zeros and the row of padding."""
    units = head_size(plan)
    steps = padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))
    for d in range(0, max(padded(units), steps), LANES):
        store(padding_row(plan, work), d * SIZE, splat(ONE))
        store(zero_row(plan, work), d * SIZE, splat(ZERO))
    for d in range(0, units, LANES):
        store_part(padding_row(plan, work), d * SIZE, splat(ZERO), units - d)


@body
def head_row(plan, column, t, row, head):
    """Return where the head's part of a vector of the memory's table is at step t."""
    stream = integer_at(integer_at(plan, MEMORY), column)
    return stream_at(plan, stream, t, row) + head * head_size(plan) * SIZE


@body
def head_step(plan, column):
    """Return the bytes from one step to the next of a vector of the memory's table: a chunk's steps lie in a row."""
    stream = integer_at(integer_at(plan, MEMORY), column)
    return step_bytes(plan, stream) if stream >= 0 else 0


@body
def state_place(plan, chunk, row, head):
    """Return where the matrix of a sequence and head is before a chunk."""
    memory, units = integer_at(plan, MEMORY), head_size(plan)
    place = integer_at(memory, STATE) + chunk * integer_at(memory, STATE_CHUNK) + row * integer_at(memory, STATE_ROW)
    return place + head * units * units * SIZE


@body
def back(plan, work):
    """Return where the backward's own arrays begin."""
    return panel_place(plan, work) + INNER_BLOCK * PANEL * SIZE


@body
def d_read(plan, work, j):
    """Return where the gradients of reads are."""
    return slab(plan, back(plan, work), j)


@body
def d_query(plan, work, j):
    """Return where the gradients of scaled queries are."""
    return slab(plan, back(plan, work), MOST_MATRIX + j)


@body
def d_value(plan, work, r):
    """Return where the gradients of values are."""
    return slab(plan, back(plan, work), 2 * MOST_MATRIX + r)


@body
def d_early(plan, work, r):
    """Return where the gradients of keys over P are."""
    return slab(plan, back(plan, work), 3 * MOST_MATRIX + r)


@body
def d_late(plan, work, r):
    """Return where the gradients of keys times later decays are."""
    return slab(plan, back(plan, work), 4 * MOST_MATRIX + r)


@body
def turned_value(plan, work, r):
    """Return where the transposed values are."""
    return slab(plan, back(plan, work), 5 * MOST_MATRIX + r)


@body
def pair_sums(plan, work):
    """Return where, for each step, what comes to its query from before is summed."""
    return slab(plan, back(plan, work), 6 * MOST_MATRIX)


@body
def d_decay(plan, work):
    """Return where the gradients of the decays' logarithms are."""
    return slab(plan, back(plan, work), 6 * MOST_MATRIX + 1)


@body
def d_weights(plan, work):
    """Return where the gradient of one A is."""
    return slab(plan, back(plan, work), 6 * MOST_MATRIX + 2)


@body
def square(plan, work, index):
    """Return where one of the matrices is: 0 U, 1 its transpose, 2 S transposed, 3 a row, from 4 on S by part."""
    steps = padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))
    return d_weights(plan, work) + steps * steps * SIZE + index * square_bytes(plan)


@body
def parts_table(plan, work):
    """Return the table of where parts begin, behind the matrices."""
    return square(plan, work, 4 + integer_at(integer_at(plan, MEMORY), CHUNK_STEPS))


@body
def clear(start, size):
    """Set so many bytes to zero."""
    for at in range(0, size, LANES * SIZE):
        store(start, at, splat(ZERO))


@body
def copy_bytes(source, target, size):
    """Copy so many bytes."""
    for at in range(0, size, LANES * SIZE):
        store(target, at, load(source, at))


@body
def copy_square(plan, source, target):
    """Copy a padded matrix."""
    copy_bytes(source, target, square_bytes(plan))
