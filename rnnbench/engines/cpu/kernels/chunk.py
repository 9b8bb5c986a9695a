"""A matrix state over a chunk of steps at once, forward: products of matrices in place of a pass over it each step.

For one sequence and head, with P_t the product of the decays before step t of the chunk and S the matrix at its start,

    read_j[t] = (P_t query_j[t])^T S + sum_{s<t, r} A_jr[t, s] value_r[s]
    A_jr[t, s] = (P_t query_j[t]) . (key_r[s] / P_{s+1})
    value_r[t] = given_r[t] + sum_j takes_rj read_j[t]
    S' = diag(P_n) S + sum_{s, r} (key_r[s] P_n / P_{s+1}) value_r[s]^T

Yang et al. 2024, arXiv:2406.06484, section 3, with a decay as in arXiv:2312.06635. A part of the chunk ends where a P
falls below TINY, so that no quotient loses its digits; a step may then forget everything. All that is below is per
sequence and head, in a thread's own memory (``chunk_work.py``).
"""

from .chunk_work import (
    BLOCK,
    ONE,
    SLAB_P,
    ZERO,
    add_row,
    clear_rows,
    early_key,
    factors,
    head_row,
    head_size,
    head_step,
    late_key,
    load_square,
    matrix_place,
    multiply,
    multiply_turned,
    operands_of,
    own_work,
    padded,
    padding_row,
    panel_place,
    read_rows,
    result,
    scaled_query,
    slab,
    state_place,
    store_square,
    turn,
    turned_key,
    value_rows,
    weights,
    zero_row,
)  # fmt: skip
from .compiled import body, kernel, routine
from .layout import (
    CHUNK_STEPS,
    DECAYS,
    GIVEN,
    KEYS,
    MEMBERS,
    MEMORY,
    MEMORY_HEADS,
    MOST_MATRIX,
    QUERIES,
    READS,
    RESULTS,
    TAKES,
    WRITES,
)  # fmt: skip
from .setting import LANES
from .vector import SIZE, constant, integer_at, lane_min, load, load_part, splat, splat_at, store, store_part, where

TINY = constant(2.0**-60)


@routine
def prepare(plan, work, first, most, row, head):
    """Fill P, and queries and keys scaled by it, from step ``first`` on; return of how many steps, ``most`` at most."""
    memory, units = integer_at(plan, MEMORY), head_size(plan)
    width = padded(units)
    stride, decays = width * SIZE, integer_at(memory, DECAYS) >= 0
    p, padding = slab(plan, work, SLAB_P), padding_row(plan, work)
    for d in range(0, width, LANES):
        store(p, d * SIZE, splat(ONE))
    steps = most
    if decays:
        i = 0
        while i < steps:
            at, low = head_row(plan, DECAYS, first + i, row, head), splat(ONE)
            for d in range(0, width, LANES):
                decay = load_part(at, d * SIZE, units - d) + load(padding, d * SIZE)
                after = load(p + i * stride, d * SIZE) * decay
                store(p + (i + 1) * stride, d * SIZE, after)
                low = where(low >= after, after, low)
            i += 1
            if lane_min(low) < TINY:
                steps = i
    else:
        for i in range(steps):
            for d in range(0, width, LANES):
                store(p + (i + 1) * stride, d * SIZE, splat(ONE))
    for j in range(integer_at(memory, READS)):
        target = scaled_query(plan, work, j)
        for i in range(steps):
            at = head_row(plan, QUERIES + j, first + i, row, head)
            for d in range(0, width, LANES):
                query = load_part(at, d * SIZE, units - d)
                store(target + i * stride, d * SIZE, query * load(p + i * stride, d * SIZE))
    decays_at = head_row(plan, DECAYS, first, row, head) if decays else 0
    decays_step, turned_stride = head_step(plan, DECAYS), padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    for r in range(integer_at(memory, WRITES)):
        early, late = early_key(plan, work, r), late_key(plan, work, r)
        keys, keys_step = head_row(plan, KEYS + r, first, row, head), head_step(plan, KEYS + r)
        for d in range(0, width, LANES):
            since = splat(ONE)
            for n in range(steps):
                i = steps - 1 - n
                key = load_part(keys + i * keys_step, d * SIZE, units - d)
                store(late + i * stride, d * SIZE, key * since)
                # Nothing within the part reads what its last step writes.
                before = splat(ZERO) if n == 0 else key / load(p + (i + 1) * stride, d * SIZE)
                store(early + i * stride, d * SIZE, before)
                if decays:
                    since = since * load_part(decays_at + i * decays_step, d * SIZE, units - d)
        turn(early, stride, steps, width, turned_key(plan, work, r), turned_stride)
    return steps


@routine
def read_and_write(plan, work, thread, first, steps, row, head):
    """Find all reads and values of a part, one block of steps after the other."""
    memory, units, operands = integer_at(plan, MEMORY), head_size(plan), operands_of(plan, thread)
    width, across = padded(units), padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    stride, zeros = width * SIZE, zero_row(plan, work)
    reads, writes = integer_at(memory, READS), integer_at(memory, WRITES)
    for j in range(reads):
        query, read = scaled_query(plan, work, j), read_rows(plan, work, j)
        factors(operands, query, stride, matrix_place(plan, work), stride, units)
        result(operands, zeros, 0, read, stride)
        multiply(plan, operands, steps, width)
        for r in range(writes):
            a = weights(plan, work, j, r)
            factors(operands, query, stride, turned_key(plan, work, r), across, units)
            result(operands, zeros, 0, a, across)
            multiply(plan, operands, steps, padded(steps))
    for r in range(writes):
        value, given = value_rows(plan, work, r), integer_at(memory, GIVEN + r) >= 0
        given_at = head_row(plan, GIVEN + r, first, row, head) if given else 0
        given_step = head_step(plan, GIVEN + r)
        for i in range(steps):
            for d in range(0, width, LANES):
                start = splat(ZERO)
                if given:
                    start = load_part(given_at + i * given_step, d * SIZE, units - d)
                store(value + i * stride, d * SIZE, start)
    for begin in range(0, steps, BLOCK):
        end = min(begin + BLOCK, steps)
        if begin:
            for j in range(reads):
                read = read_rows(plan, work, j) + begin * stride
                for r in range(writes):
                    a = weights(plan, work, j, r) + begin * across
                    factors(operands, a, across, value_rows(plan, work, r), stride, begin)
                    result(operands, read, stride, read, stride)
                    multiply(plan, operands, end - begin, width)
        for i in range(begin, end):
            finish_step(plan, work, begin, i, width)


@body
def finish_step(plan, work, begin, i, width):
    """Add to the reads of step i what the steps from ``begin`` on have written, then form its values."""
    memory, stride = integer_at(plan, MEMORY), width * SIZE
    across = padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    reads, writes = integer_at(memory, READS), integer_at(memory, WRITES)
    for j in range(reads):
        read = read_rows(plan, work, j) + i * stride
        for r in range(writes):
            a, value = weights(plan, work, j, r) + i * across, value_rows(plan, work, r)
            for d in range(0, width, LANES):
                total = load(read, d * SIZE)
                for s in range(begin, i):
                    total = total + splat_at(a, s * SIZE) * load(value + s * stride, d * SIZE)
                store(read, d * SIZE, total)
    for r in range(writes):
        value = value_rows(plan, work, r) + i * stride
        for j in range(reads):
            factor = integer_at(memory, TAKES + r * MOST_MATRIX + j)
            if factor:
                add_row(value, read_rows(plan, work, j) + i * stride, factor, width)


@routine
def write_matrix(plan, work, thread, steps):
    """Bring the matrix to the end of a part."""
    memory, units, operands = integer_at(plan, MEMORY), head_size(plan), operands_of(plan, thread)
    width, matrix = padded(units), matrix_place(plan, work)
    stride = width * SIZE
    if integer_at(memory, DECAYS) >= 0:
        last = slab(plan, work, SLAB_P) + steps * stride
        for k in range(units):
            decay = splat_at(last, k * SIZE)
            for d in range(0, width, LANES):
                store(matrix + k * stride, d * SIZE, decay * load(matrix + k * stride, d * SIZE))
    for r in range(integer_at(memory, WRITES)):
        factors(operands, late_key(plan, work, r), stride, value_rows(plan, work, r), stride, steps)
        result(operands, matrix, stride, matrix, stride)
        multiply_turned(plan, operands, units, width, panel_place(plan, work))


@kernel
def run_chunk(plan, thread, first, count, row, rows):
    """Run the steps of a chunk from ``first`` on, for this member's share of all sequences and heads."""
    memory, members, units = integer_at(plan, MEMORY), integer_at(plan, MEMBERS), head_size(plan)
    heads, chunk = integer_at(memory, MEMORY_HEADS), first // integer_at(memory, CHUNK_STEPS)
    work = own_work(plan, thread)
    clear_rows(plan, work)
    width = padded(units)
    for pair in range(thread % members, rows * heads, members):
        sequence, head = row + pair // heads, pair % heads
        load_square(state_place(plan, chunk, sequence, head), units, matrix_place(plan, work))
        done = 0
        while done < count:
            steps = prepare(plan, work, first + done, count - done, sequence, head)
            read_and_write(plan, work, thread, first + done, steps, sequence, head)
            write_matrix(plan, work, thread, steps)
            for j in range(integer_at(memory, READS)):
                source = read_rows(plan, work, j)
                for i in range(steps if integer_at(memory, RESULTS + j) >= 0 else 0):
                    target = head_row(plan, RESULTS + j, first + done + i, sequence, head)
                    for d in range(0, width, LANES):
                        store_part(target, d * SIZE, load(source + i * width * SIZE, d * SIZE), units - d)
            done += steps
        store_square(matrix_place(plan, work), units, state_place(plan, chunk + 1, sequence, head))
