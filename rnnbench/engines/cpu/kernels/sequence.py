"""The time loops: one interpreter of a plan for every cell, forward and backward.

A plan is a table of int64 that ``rnnbench.engines.cpu.plan`` writes. It names streams (arrays that a step touches),
products, and stages (tiles of the emitted cell). Functions here take (thread, threads, chunk, plan): each thread runs
its own rows of the batch through all steps of a chunk, so that no thread waits for another within a step.
"""

from .compiled import body, kernel
from .product import PANEL
from .setting import LANES
from .vector import (
    SIZE,
    call,
    constant,
    copy_value,
    integer_at,
    load,
    load_part,
    set_integer,
    splat,
    store,
    store_part,
)  # fmt: skip

# Entries of a plan.
(
    STEPS, CHUNK, PART, BATCH, UNITS, WIDTH, REVERSED, FRAMES, FRAME_BYTES,
    STREAMS, STAGES, STAGE_COUNT, BEFORE, BEFORE_COUNT, AFTER, AFTER_COUNT, COPIES, COPY_COUNT,
    GRADIENTS, GRADIENT_COUNT, PACKS, PACK_COUNT, NARROW, WIDE, NARROW_TRANSPOSED, WIDE_TRANSPOSED, PLAN_SIZE,
) = range(27)  # fmt: skip

# A stream: address at step 0 and row 0, bytes a step, mask of the step index (0: one step, 2**k - 1: a ring, -1: all
# steps), number added to the step, bytes a row.
BASE, STEP_BYTES, STEP_MASK, STEP_OFFSET, ROW_BYTES, STREAM_SIZE = range(6)

# A product C = C0 + A B: packed B, inner size, padded columns, and the streams of A, C0 and C.
PACKED, DEPTH, COLUMNS, LEFT, START, RESULT, PRODUCT_SIZE = range(7)

# A stage: address of its tile, then first and number of its products, first and number of its streams (tables).
TILE, FIRST_PRODUCT, PRODUCTS, FIRST_STREAM, STAGE_STREAMS, STAGE_SIZE = range(6)

# A weight gradient C += A^T D over all rows of a chunk: streams A and D, address and row bytes of C, its rows and
# columns, and a number of its own: gradients with the same C have the same, so that one thread adds to it.
ACROSS, DOWN, TARGET, TARGET_ROW, TARGET_ROWS, TARGET_COLUMNS, OWNER, GRADIENT_SIZE = range(8)

# A weight to pack into panels: address, row bytes, inner size, columns, whether transposed, destination.
SOURCE, SOURCE_ROW, INNER, OUTER, FLIPPED, DESTINATION, PACK_SIZE = range(7)

# A copy of rows from a padded stream to a plain one: streams, values a row.
FROM, TO, VALUES, COPY_SIZE = range(4)

ZERO = constant(0.0)
ROW_BLOCK = 32  # rows of a tile: its pre-activations stay in the first-level cache between product and tile
CACHED_ROWS = 512  # rows of A and D whose weight gradients are formed together: they stay in the second-level cache
INNER_BLOCK = 128  # of these, rows of one tile: a panel of D stays in the first-level cache


@body
def stream_at(plan, stream, t, row):
    """Return the address of a row of a stream at step t."""
    entry = integer_at(plan, STREAMS) + stream * (STREAM_SIZE * 8)
    step = (t + integer_at(entry, STEP_OFFSET)) & integer_at(entry, STEP_MASK)
    return integer_at(entry, BASE) + step * integer_at(entry, STEP_BYTES) + row * integer_at(entry, ROW_BYTES)


@body
def row_bytes(plan, stream):
    """Return the bytes from one row of a stream to the next."""
    return integer_at(integer_at(plan, STREAMS) + stream * (STREAM_SIZE * 8), ROW_BYTES)


@body
def step_bytes(plan, stream):
    """Return the bytes from one step of a stream to the next."""
    return integer_at(integer_at(plan, STREAMS) + stream * (STREAM_SIZE * 8), STEP_BYTES)


@body
def multiply(plan, product, column, t, row, rows, by_step):
    """Run one panel of a product for ``rows`` rows from ``row`` on, or for as many steps when ``by_step``."""
    left, start, result = integer_at(product, LEFT), integer_at(product, START), integer_at(product, RESULT)
    depth = integer_at(product, DEPTH)
    width = min(PANEL, integer_at(product, COLUMNS) - column)
    if by_step:
        strides = (step_bytes(plan, left), step_bytes(plan, start), step_bytes(plan, result))
    else:
        strides = (row_bytes(plan, left), row_bytes(plan, start), row_bytes(plan, result))
    call(
        integer_at(plan, WIDE if width == PANEL else NARROW),
        (
            stream_at(plan, left, t, row),
            strides[0],
            integer_at(product, PACKED) + column * depth * SIZE,
            width * SIZE,
            depth,
            stream_at(plan, start, t, row) + column * SIZE,
            strides[1],
            stream_at(plan, result, t, row) + column * SIZE,
            strides[2],
            rows,
        ),
    )


@body
def multiply_steps(plan, product, first_step, steps, row, rows):
    """Run a product that no step depends on for some steps at once."""
    batch = integer_at(plan, BATCH)
    for column in range(0, integer_at(product, COLUMNS), PANEL):
        if rows == batch:  # rows of all steps lie evenly spaced
            multiply(plan, product, column, first_step, row, rows * steps, False)
        elif rows == 1:
            multiply(plan, product, column, first_step, row, steps, True)
        else:
            for t in range(first_step, first_step + steps):
                multiply(plan, product, column, t, row, rows, False)


@body
def run_stage(plan, stage, frame, t, row, rows):
    """Run a stage of one step: its products and its tile, panel by panel."""
    first_product, products = integer_at(stage, FIRST_PRODUCT), integer_at(stage, PRODUCTS)
    first_stream, streams = integer_at(stage, FIRST_STREAM), integer_at(stage, STAGE_STREAMS)
    width, units, tile = integer_at(plan, WIDTH), integer_at(plan, UNITS), integer_at(stage, TILE)
    for column in range(0, width, PANEL):
        panel = min(PANEL, width - column)
        blocks = (rows + ROW_BLOCK - 1) // ROW_BLOCK
        for block in range(blocks):
            start = row + rows * block // blocks
            height = row + rows * (block + 1) // blocks - start
            for p in range(products):
                multiply(plan, first_product + p * (PRODUCT_SIZE * 8), column, t, start, height, False)
            if column == 0 or blocks > 1:
                for s in range(streams):
                    stream = integer_at(first_stream, s)
                    set_integer(frame, 2 * s, stream_at(plan, stream, t, start))
                    set_integer(frame, 2 * s + 1, row_bytes(plan, stream))
            call(tile, (frame, height, column, panel, units))


@kernel
def run_steps(thread, threads, chunk, plan):
    """Run all stages of all steps of a chunk for this thread's rows, part by part."""
    batch, steps, part = integer_at(plan, BATCH), integer_at(plan, STEPS), integer_at(plan, PART)
    row = batch * thread // threads
    rows = batch * (thread + 1) // threads - row
    first = chunk * integer_at(plan, CHUNK)
    count = min(integer_at(plan, CHUNK), steps - first)
    parts = (count + part - 1) // part
    if rows > 0:
        for i in range(parts):
            start = part * (parts - 1 - i if integer_at(plan, REVERSED) else i)
            run_part(plan, thread, first + start, min(part, count - start), row, rows)


@body
def run_part(plan, thread, first, count, row, rows):
    """Run some steps; what can be one product over all of them goes before or after, while they are in cache."""
    frame = integer_at(plan, FRAMES) + thread * integer_at(plan, FRAME_BYTES)
    for p in range(integer_at(plan, BEFORE_COUNT)):
        multiply_steps(plan, integer_at(plan, BEFORE) + p * (PRODUCT_SIZE * 8), first, count, row, rows)
    for i in range(count):
        t = first + count - 1 - i if integer_at(plan, REVERSED) else first + i
        for s in range(integer_at(plan, STAGE_COUNT)):
            run_stage(plan, integer_at(plan, STAGES) + s * (STAGE_SIZE * 8), frame, t, row, rows)
    for p in range(integer_at(plan, AFTER_COUNT)):
        multiply_steps(plan, integer_at(plan, AFTER) + p * (PRODUCT_SIZE * 8), first, count, row, rows)
    for c in range(integer_at(plan, COPY_COUNT)):
        copy_rows(plan, integer_at(plan, COPIES) + c * (COPY_SIZE * 8), first, count, row, rows)


@body
def copy_rows(plan, copy, first_step, steps, row, rows):
    """Copy the values of rows from a padded stream to a plain one."""
    values = integer_at(copy, VALUES)
    for t in range(first_step, first_step + steps):
        for r in range(row, row + rows):
            source = stream_at(plan, integer_at(copy, FROM), t, r)
            target = stream_at(plan, integer_at(copy, TO), t, r)
            for v in range(0, values, LANES):
                store_part(target, v * SIZE, load(source, v * SIZE), values - v)


@kernel
def run_gradients(thread, threads, chunk, plan):
    """Add a chunk to the weight gradients; threads share the panels."""
    batch, steps = integer_at(plan, BATCH), integer_at(plan, STEPS)
    first = chunk * integer_at(plan, CHUNK)
    inner = min(integer_at(plan, CHUNK), steps - first) * batch
    for k in range(0, inner, CACHED_ROWS):
        rows = min(CACHED_ROWS, inner - k)
        for g in range(integer_at(plan, GRADIENT_COUNT)):
            gradient = integer_at(plan, GRADIENTS) + g * (GRADIENT_SIZE * 8)
            for column in range(0, integer_at(gradient, TARGET_COLUMNS), PANEL):
                if (integer_at(gradient, OWNER) + column // PANEL) % threads == thread:
                    add_gradient(plan, gradient, column, first, k, rows)


@body
def add_gradient(plan, gradient, column, first_step, row, rows):
    """Add ``rows`` rows, counted from the chunk's first one, to one panel of a weight gradient."""
    across, down = integer_at(gradient, ACROSS), integer_at(gradient, DOWN)
    across_row, down_row = row_bytes(plan, across), row_bytes(plan, down)
    whole = integer_at(gradient, TARGET_COLUMNS) - column >= PANEL
    target, target_row = integer_at(gradient, TARGET) + column * SIZE, integer_at(gradient, TARGET_ROW)
    for k in range(row, row + rows, INNER_BLOCK):
        call(
            integer_at(plan, WIDE_TRANSPOSED if whole else NARROW_TRANSPOSED),
            (
                stream_at(plan, across, first_step, 0) + k * across_row,
                across_row,
                stream_at(plan, down, first_step, 0) + k * down_row + column * SIZE,
                down_row,
                min(INNER_BLOCK, row + rows - k),
                target,
                target_row,
                target,
                target_row,
                integer_at(gradient, TARGET_ROWS),
            ),
        )


@kernel
def pack_weights(thread, threads, chunk, plan):
    """Copy weights into panels, zero in the padding; threads share the panels."""
    job = 0
    for p in range(integer_at(plan, PACK_COUNT)):
        pack = integer_at(plan, PACKS) + p * (PACK_SIZE * 8)
        inner, outer = integer_at(pack, INNER), integer_at(pack, OUTER)
        source, source_row = integer_at(pack, SOURCE), integer_at(pack, SOURCE_ROW)
        padded = (outer + LANES - 1) // LANES * LANES
        for column in range(0, padded, PANEL):
            width = min(PANEL, padded - column)
            target = integer_at(pack, DESTINATION) + column * inner * SIZE
            if job % threads == thread:
                if integer_at(pack, FLIPPED):
                    for v in range(column, column + width):
                        if v < outer:
                            for k in range(inner):
                                copy_value(source + v * source_row + k * SIZE, target + (k * width + v - column) * SIZE)
                        else:
                            for k in range(inner):
                                store_part(target, (k * width + v - column) * SIZE, splat(ZERO), 1)
                else:
                    for k in range(inner):
                        for v in range(0, width, LANES):
                            values = load_part(source + k * source_row, (column + v) * SIZE, outer - column - v)
                            store(target, (k * width + v) * SIZE, values)
            job += 1
