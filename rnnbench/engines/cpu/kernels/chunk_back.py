"""A matrix state over a chunk of steps at once, backward: the adjoint of what ``chunk.py`` computes.

With U the gradient of the matrix after the part, L_r the keys times the decays after them, E_r those over P, Q_j the
queries times P, and d standing for gradients (of a read, together with what comes through the values that take it),

    d value_r[t] = L_r[t] U + sum_{u>t, j} A_jr[u, t] d read_j[u]        d read_j[t] += sum_r takes_rj d value_r[t]
    d A_jr = strictly lower part of d read_j value_r^T
    d Q_j = d read_j S^T + sum_r d A_jr E_r          d query_j[t] = P_t d Q_j[t]
    d E_r = sum_j d A_jr^T Q_j                       d L_r = value_r U^T
    d key_r[s] = d E_r[s] / P_{s+1} + d L_r[s] (P_n / P_{s+1})
    d S = diag(P_n) U + sum_j Q_j^T d read_j

The gradient of a decay is a sum over pairs of a step before and one after it, formed pair by pair: as a difference of
running sums it would lose all digits where the decays are small.
"""

from .chunk import prepare, read_and_write, write_matrix
from .chunk_work import (
    BLOCK,
    ONE,
    SLAB_P,
    ZERO,
    add_row,
    clear,
    clear_rows,
    copy_bytes,
    copy_square,
    d_decay,
    d_early,
    d_late,
    d_query,
    d_read,
    d_value,
    d_weights,
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
    pair_sums,
    panel_place,
    parts_table,
    result,
    scaled_query,
    slab,
    slab_bytes,
    square,
    state_place,
    store_square,
    turn,
    turned_value,
    value_rows,
    weights,
    zero_row,
)  # fmt: skip
from .compiled import body, kernel, routine
from .layout import (
    CHUNK_STEPS,
    D_DECAYS,
    D_GIVEN,
    D_KEYS,
    D_QUERIES,
    D_RESULTS,
    D_STATE,
    D_STATE_ROW,
    DECAYS,
    KEYS,
    MEMBERS,
    MEMORY,
    MEMORY_HEADS,
    MOST_MATRIX,
    READS,
    TAKES,
    WRITES,
)  # fmt: skip
from .setting import LANES
from .vector import SIZE, integer_at, lane_sum, load, load_part, set_integer, splat, splat_at, store, store_part


@kernel
def run_chunk_back(plan, thread, first, count, row, rows):
    """Run the steps of a chunk from ``first`` on back, for this member's share of all sequences and heads."""
    memory, members, units = integer_at(plan, MEMORY), integer_at(plan, MEMBERS), head_size(plan)
    heads, chunk = integer_at(memory, MEMORY_HEADS), first // integer_at(memory, CHUNK_STEPS)
    work = own_work(plan, thread)
    clear_rows(plan, work)
    table = parts_table(plan, work)
    for pair in range(thread % members, rows * heads, members):
        sequence, head = row + pair // heads, pair % heads
        d_state = integer_at(memory, D_STATE) + sequence * integer_at(memory, D_STATE_ROW) + head * units * units * SIZE
        load_square(d_state, units, square(plan, work, 0))
        load_square(state_place(plan, chunk, sequence, head), units, matrix_place(plan, work))
        done, parts, steps = 0, 0, 0
        while done < count:
            copy_square(plan, matrix_place(plan, work), square(plan, work, 4 + parts))
            set_integer(table, parts, done)
            steps = prepare(plan, work, first + done, count - done, sequence, head)
            if done + steps < count:
                read_and_write(plan, work, thread, first + done, steps, sequence, head)
                write_matrix(plan, work, thread, steps)
            done += steps
            parts += 1
        for n in range(parts):
            part = parts - 1 - n
            begin = integer_at(table, part)
            if n:
                copy_square(plan, square(plan, work, 4 + part), matrix_place(plan, work))
                steps = prepare(plan, work, first + begin, done - begin, sequence, head)
            read_and_write(plan, work, thread, first + begin, steps, sequence, head)
            back_through_values(plan, work, thread, first + begin, steps, sequence, head)
            back_through_keys(plan, work, thread, steps)
            if integer_at(memory, D_DECAYS) >= 0:
                back_through_decays(plan, work, first + begin, steps, sequence, head)
            store_gradients(plan, work, first + begin, steps, sequence, head)
            back_through_matrix(plan, work, thread, steps)
            done = begin
        store_square(square(plan, work, 0), units, d_state)


@routine
def back_through_values(plan, work, thread, first, steps, row, head):
    """Find the gradients of all values, and with them those of the reads, the last block of steps first."""
    memory, units, operands = integer_at(plan, MEMORY), head_size(plan), operands_of(plan, thread)
    width, across = padded(units), padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    stride, zeros = width * SIZE, zero_row(plan, work)
    reads, writes = integer_at(memory, READS), integer_at(memory, WRITES)
    for j in range(reads):
        if integer_at(memory, D_RESULTS + j) < 0:
            clear(d_read(plan, work, j), steps * stride)
            continue
        target = d_read(plan, work, j)
        for i in range(steps):
            at = head_row(plan, D_RESULTS + j, first + i, row, head)
            for d in range(0, width, LANES):
                store(target + i * stride, d * SIZE, load_part(at, d * SIZE, units - d))
    for r in range(writes):
        factors(operands, late_key(plan, work, r), stride, square(plan, work, 0), stride, units)
        result(operands, zeros, 0, d_value(plan, work, r), stride)
        multiply(plan, operands, steps, width)
    blocks = (steps + BLOCK - 1) // BLOCK
    for n in range(blocks):
        begin = (blocks - 1 - n) * BLOCK
        end = min(begin + BLOCK, steps)
        if end < steps:
            for r in range(writes):
                target = d_value(plan, work, r) + begin * stride
                for j in range(reads):
                    a = weights(plan, work, j, r) + end * across + begin * SIZE
                    factors(operands, a, across, d_read(plan, work, j) + end * stride, stride, steps - end)
                    result(operands, target, stride, target, stride)
                    multiply_turned(plan, operands, end - begin, width, panel_place(plan, work))
        for m in range(end - begin):
            finish_gradient(plan, work, end - 1 - m, end, width)


@body
def finish_gradient(plan, work, i, end, width):
    """Add to the gradients of step i's values what steps up to ``end`` read of them, then pass them on to its reads."""
    memory, stride = integer_at(plan, MEMORY), width * SIZE
    across = padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    reads, writes = integer_at(memory, READS), integer_at(memory, WRITES)
    for r in range(writes):
        target = d_value(plan, work, r) + i * stride
        for j in range(reads):
            a, later = weights(plan, work, j, r) + i * SIZE, d_read(plan, work, j)
            for d in range(0, width, LANES):
                total = load(target, d * SIZE)
                for u in range(i + 1, end):
                    total = total + splat_at(a, u * across) * load(later + u * stride, d * SIZE)
                store(target, d * SIZE, total)
    for j in range(reads):
        target = d_read(plan, work, j) + i * stride
        for r in range(writes):
            factor = integer_at(memory, TAKES + r * MOST_MATRIX + j)
            if factor:
                add_row(target, d_value(plan, work, r) + i * stride, factor, width)


@routine
def back_through_keys(plan, work, thread, steps):
    """Find the gradients of scaled queries and keys, and of the decays what lies between steps of the part."""
    memory, units, operands = integer_at(plan, MEMORY), head_size(plan), operands_of(plan, thread)
    width, across = padded(units), padded(integer_at(memory, CHUNK_STEPS)) * SIZE
    stride, zeros, panel = width * SIZE, zero_row(plan, work), panel_place(plan, work)
    reads, writes = integer_at(memory, READS), integer_at(memory, WRITES)
    turn(matrix_place(plan, work), stride, width, width, square(plan, work, 2), stride)
    turn(square(plan, work, 0), stride, width, width, square(plan, work, 1), stride)
    for r in range(writes):
        value = value_rows(plan, work, r)
        turn(value, stride, steps, width, turned_value(plan, work, r), across)
        factors(operands, value, stride, square(plan, work, 1), stride, units)
        result(operands, zeros, 0, d_late(plan, work, r), stride)
        multiply(plan, operands, steps, width)
    clear(d_decay(plan, work), slab_bytes(plan))
    for j in range(reads):
        query, target = scaled_query(plan, work, j), d_query(plan, work, j)
        factors(operands, d_read(plan, work, j), stride, square(plan, work, 2), stride, units)
        result(operands, zeros, 0, target, stride)
        multiply(plan, operands, steps, width)
        # The matrix at the start of the part is earlier than every decay.
        copy_bytes(target, pair_sums(plan, work), slab_bytes(plan))
        for r in range(writes):
            d_a = d_weights(plan, work)
            factors(operands, d_read(plan, work, j), stride, turned_value(plan, work, r), across, units)
            result(operands, zeros, 0, d_a, across)
            multiply(plan, operands, steps, padded(steps))
            for i in range(steps):
                store_part(d_a + i * across, i * SIZE, splat(ZERO), padded(i + 1) - i)
                for s in range(padded(i + 1), padded(steps), LANES):
                    store(d_a + i * across, s * SIZE, splat(ZERO))
            factors(operands, d_a, across, early_key(plan, work, r), stride, steps)
            result(operands, target, stride, target, stride)
            multiply(plan, operands, steps, width)
            gradient = d_early(plan, work, r)
            factors(operands, d_a, across, query, stride, steps)
            result(operands, gradient if j else zeros, stride if j else 0, gradient, stride)
            multiply_turned(plan, operands, steps, width, panel)
            if integer_at(memory, D_DECAYS) >= 0:
                add_pairs(plan, work, query, early_key(plan, work, r), steps, width)
                clear(pair_sums(plan, work), slab_bytes(plan))


@body
def add_pairs(plan, work, query, key, steps, width):
    """Add to each decay's gradient what passes over it to a later query: from earlier keys, and from what is in
    ``pair_sums`` already."""
    stride, across = width * SIZE, padded(integer_at(integer_at(plan, MEMORY), CHUNK_STEPS)) * SIZE
    sums, target, d_a = pair_sums(plan, work), d_decay(plan, work), d_weights(plan, work)
    for d in range(0, width, LANES):
        for u in range(steps):
            total, present = load(target + u * stride, d * SIZE), load(key + u * stride, d * SIZE)
            for i in range(u + 1, steps):
                earlier = load(sums + i * stride, d * SIZE)
                total = total + load(query + i * stride, d * SIZE) * earlier
                weight = splat_at(d_a + i * across, u * SIZE)
                store(sums + i * stride, d * SIZE, earlier + weight * present)
            store(target + u * stride, d * SIZE, total)


@routine
def back_through_decays(plan, work, first, steps, row, head):
    """Add what passes over each decay into the matrix after the part, and store the gradients of the decays."""
    memory, units = integer_at(plan, MEMORY), head_size(plan)
    width = padded(units)
    stride, p, u, s = width * SIZE, slab(plan, work, SLAB_P), square(plan, work, 0), matrix_place(plan, work)
    inner = square(plan, work, 3)  # for each key unit, the sum over values of S by U
    for d in range(0, width, LANES):
        store(inner, d * SIZE, splat(ZERO))
    for k in range(units):
        total = splat(ZERO)
        for d in range(0, width, LANES):
            total = total + load(s + k * stride, d * SIZE) * load(u + k * stride, d * SIZE)
        store_part(inner, k * SIZE, splat(lane_sum(total)), 1)
    sums = pair_sums(plan, work)  # of each step, what its keys carry into the matrix, but for the part's last decay
    gradients, padding = d_decay(plan, work), padding_row(plan, work)
    decays, decays_step = head_row(plan, DECAYS, first, row, head), head_step(plan, DECAYS)
    clear(sums, slab_bytes(plan))
    for r in range(integer_at(memory, WRITES)):
        keys, keys_step = head_row(plan, KEYS + r, first, row, head), head_step(plan, KEYS + r)
        late = d_late(plan, work, r)
        for i in range(steps):
            for d in range(0, width, LANES):
                key = load_part(keys + i * keys_step, d * SIZE, units - d)
                store(
                    sums + i * stride,
                    d * SIZE,
                    load(sums + i * stride, d * SIZE) + key * load(late + i * stride, d * SIZE),
                )
    for d in range(0, width, LANES):
        since = splat(ONE)
        for n in range(steps):
            i = steps - 1 - n
            store(sums + i * stride, d * SIZE, since * load(sums + i * stride, d * SIZE))
            if n:
                since = since * load_part(decays + i * decays_step, d * SIZE, units - d)
        last = load_part(decays + (steps - 1) * decays_step, d * SIZE, units - d)
        passing = load(p + (steps - 1) * stride, d * SIZE) * load(inner, d * SIZE)
        for i in range(steps - 1):
            decay = load_part(decays + i * decays_step, d * SIZE, units - d) + load(padding, d * SIZE)
            gradient = load(gradients + i * stride, d * SIZE) + passing * last
            store(gradients + i * stride, d * SIZE, gradient / decay)
            passing = passing + load(sums + i * stride, d * SIZE)
        store(gradients + (steps - 1) * stride, d * SIZE, passing)
    for i in range(steps):
        target = head_row(plan, D_DECAYS, first + i, row, head)
        for d in range(0, width, LANES):
            store_part(target, d * SIZE, load(gradients + i * stride, d * SIZE), units - d)


@routine
def store_gradients(plan, work, first, steps, row, head):
    """Store the gradients of queries, keys and given values."""
    memory, units = integer_at(plan, MEMORY), head_size(plan)
    width = padded(units)
    stride, p, decays = width * SIZE, slab(plan, work, SLAB_P), integer_at(memory, DECAYS) >= 0
    since_at = head_row(plan, DECAYS, first, row, head) if decays else 0
    since_step = head_step(plan, DECAYS)
    for j in range(integer_at(memory, READS)):
        scaled = d_query(plan, work, j)
        for i in range(steps if integer_at(memory, D_QUERIES + j) >= 0 else 0):
            target = head_row(plan, D_QUERIES + j, first + i, row, head)
            for d in range(0, width, LANES):
                value = load(p + i * stride, d * SIZE) * load(scaled + i * stride, d * SIZE)
                store_part(target, d * SIZE, value, units - d)
    for r in range(integer_at(memory, WRITES)):
        wanted = integer_at(memory, D_KEYS + r) >= 0
        to, to_step = head_row(plan, D_KEYS + r, first, row, head) if wanted else 0, head_step(plan, D_KEYS + r)
        late, early = d_late(plan, work, r), d_early(plan, work, r)
        for d in range(0, width if wanted else 0, LANES):
            since = splat(ONE)
            for n in range(steps):
                i = steps - 1 - n
                gradient = load(late + i * stride, d * SIZE) * since
                if n:
                    gradient = gradient + load(early + i * stride, d * SIZE) / load(p + (i + 1) * stride, d * SIZE)
                store_part(to + i * to_step, d * SIZE, gradient, units - d)
                if decays:
                    since = since * load_part(since_at + i * since_step, d * SIZE, units - d)
        if integer_at(memory, D_GIVEN + r) >= 0:
            value = d_value(plan, work, r)
            for i in range(steps):
                target = head_row(plan, D_GIVEN + r, first + i, row, head)
                for d in range(0, width, LANES):
                    store_part(target, d * SIZE, load(value + i * stride, d * SIZE), units - d)


@routine
def back_through_matrix(plan, work, thread, steps):
    """Bring the gradient of the matrix to the start of a part."""
    memory, units, operands = integer_at(plan, MEMORY), head_size(plan), operands_of(plan, thread)
    width, u = padded(units), square(plan, work, 0)
    stride, last = width * SIZE, slab(plan, work, SLAB_P) + steps * width * SIZE
    for k in range(units):
        decay = splat_at(last, k * SIZE)
        for d in range(0, width, LANES):
            store(u + k * stride, d * SIZE, decay * load(u + k * stride, d * SIZE))
    for j in range(integer_at(memory, READS)):
        factors(operands, scaled_query(plan, work, j), stride, d_read(plan, work, j), stride, steps)
        result(operands, u, stride, u, stride)
        multiply_turned(plan, operands, units, width, panel_place(plan, work))
