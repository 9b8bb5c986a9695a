"""What a step does across units without weights: sums over the units of a head, and all that matrix states need.

Of each row of the batch, a matrix state holds for every head a matrix of keys by values, row after row. A table says
what a stage runs: a row for each operation, with a place for each of its vectors and matrices. All that an operation
reads was complete before the launch, or was written by the thread that reads it. Every sum has one order.
"""

from numba import cuda

from .compiled import body, constant, kernel, value
from .launch import UNIT_THREADS

ZERO = constant(0.0)

IS_TOTAL, IS_MEAN, IS_READ, IS_LEFT, IS_ROWDOT, IS_UPDATE = range(6)
# Columns of the table: which operation, its heads, the units of one, then its places.
KIND, HEADS, EACH, PLACES = range(4)
MATRIX, VALUE, TARGET, DECAY, KEY, KEY_2, VALUE_2 = range(7)
# Columns of a place: the array that it lies in, where it begins there, from row to row, from step to step, the steps
# that are kept, 0 for as many as of matrix states, and how many steps later than this one it is.
ARRAY, START, ROW, STEP, KEPT, LATER, PLACE_SIZE = range(7)
NOWHERE, IN_CARRIED, IN_MATRICES, IN_D_MATRICES = range(4)


@body
def start_of(table, operation, place, t, kept, row):
    """Return where a row of one of an operation's places lies at step t."""
    column = PLACES + place * PLACE_SIZE
    steps = table[operation, column + KEPT]
    step = (t + table[operation, column + LATER]) % (steps if steps > 0 else kept)
    return (
        table[operation, column + START] + step * table[operation, column + STEP] + row * table[operation, column + ROW]
    )


@body
def array_of(table, operation, place):
    """Return which array a place lies in."""
    return table[operation, PLACES + place * PLACE_SIZE + ARRAY]


@body
def one_of(first, at, other, choose_other):
    """Return a value of one of two arrays."""
    return other[at] if choose_other else first[at]


@body
def read(arrays, of_d_matrix, places, each, unit):
    """Return one value unit of the transpose of a head's matrix by a vector over its key units."""
    carried, matrices, d_matrices = arrays
    matrix, keys = places
    total = ZERO
    for k in range(each):
        total += carried[keys + k] * one_of(matrices, matrix + k * each + unit, d_matrices, of_d_matrix)
    return total


@body
def multiply_row(arrays, of_d_matrix, places, each, unit):
    """Return one key unit of a head's matrix by a vector over its value units."""
    carried, matrices, d_matrices = arrays
    matrix, values = places
    total = ZERO
    for d in range(each):
        total += one_of(matrices, matrix + unit * each + d, d_matrices, of_d_matrix) * carried[values + d]
    return total


@body
def multiply_matrices(arrays, choices, places, each, unit):
    """Return the sum of the products of two matrices' entries over the values, for one key unit."""
    _, matrices, d_matrices = arrays
    one_is_d, other_is_d = choices
    total = ZERO
    for d in range(unit * each, unit * each + each):
        factor = one_of(matrices, places[1] + d, d_matrices, other_is_d)
        total += one_of(matrices, places[0] + d, d_matrices, one_is_d) * factor
    return total


@kernel
def over_units(table, carried, matrices, d_matrices, t, kept, rows):
    """Run the operations of a ``table`` at step t, one after the other, on flat arrays.

    ``kept`` is the number of steps in matrices. A block takes some heads of some rows, one after the other;
    of each, a thread some units: those of values where a matrix is read or updated, else of keys.
    """
    thread = cuda.threadIdx.x
    first_unit, unit_step = cuda.blockIdx.y * UNIT_THREADS + thread, cuda.gridDim.y * UNIT_THREADS
    shared = cuda.shared.array(0, value)  # its size is given at the launch
    arrays = (carried, matrices, d_matrices)
    for operation in range(table.shape[0]):
        kind, heads, each = table[operation, KIND], table[operation, HEADS], table[operation, EACH]
        of_d_matrix = array_of(table, operation, MATRIX) == IN_D_MATRICES
        for head_of_row in range(cuda.blockIdx.x, rows * heads, cuda.gridDim.x):
            row, head = head_of_row // heads, head_of_row % heads
            vector_at, matrix_at = head * each, head * each * each
            matrix = start_of(table, operation, MATRIX, t, kept, row) + matrix_at
            values = start_of(table, operation, VALUE, t, kept, row) + vector_at
            target = start_of(table, operation, TARGET, t, kept, row)
            keys = start_of(table, operation, KEY, t, kept, row) + vector_at
            if kind == IS_TOTAL or kind == IS_MEAN:
                total = ZERO
                for unit in range(thread, each, UNIT_THREADS):
                    total += carried[values + unit]
                shared[thread] = total
                cuda.syncthreads()
                half = UNIT_THREADS // 2
                while half > 0:
                    if thread < half:
                        shared[thread] += shared[thread + half]
                    cuda.syncthreads()
                    half //= 2
                total = shared[0]
                cuda.syncthreads()
                if kind == IS_MEAN:
                    total = total / constant(each)
                for unit in range(first_unit, each, unit_step):
                    carried[target + vector_at + unit] = total
            elif kind == IS_READ:
                for unit in range(first_unit, each, unit_step):
                    found = read(arrays, of_d_matrix, (matrix, keys), each, unit)
                    carried[target + vector_at + unit] = found
            elif kind == IS_LEFT:
                for unit in range(first_unit, each, unit_step):
                    found = multiply_row(arrays, of_d_matrix, (matrix, values), each, unit)
                    carried[target + vector_at + unit] = found
            elif kind == IS_ROWDOT:
                other = start_of(table, operation, VALUE, t, kept, row) + matrix_at
                other_is_d = array_of(table, operation, VALUE) == IN_D_MATRICES
                for unit in range(first_unit, each, unit_step):
                    found = multiply_matrices(arrays, (of_d_matrix, other_is_d), (matrix, other), each, unit)
                    carried[target + vector_at + unit] = found
            else:
                decay_in, more_in = array_of(table, operation, DECAY), array_of(table, operation, KEY_2)
                written = array_of(table, operation, KEY) != NOWHERE
                to_d_matrix = array_of(table, operation, TARGET) == IN_D_MATRICES
                decays = start_of(table, operation, DECAY, t, kept, row) + vector_at
                more_keys = start_of(table, operation, KEY_2, t, kept, row) + vector_at
                more_values = start_of(table, operation, VALUE_2, t, kept, row) + vector_at
                for unit in range(first_unit, each, unit_step):
                    content, more = ZERO, ZERO
                    if written:
                        content = carried[values + unit]
                    if more_in != NOWHERE:
                        more = carried[more_values + unit]
                    for k in range(each):
                        at = k * each + unit
                        entry = one_of(matrices, matrix + at, d_matrices, of_d_matrix)
                        if decay_in != NOWHERE:
                            entry = entry * carried[decays + k]
                        if written:
                            entry += carried[keys + k] * content
                        if more_in != NOWHERE:
                            entry += carried[more_keys + k] * more
                        if to_d_matrix:
                            d_matrices[target + matrix_at + at] = entry
                        else:
                            matrices[target + matrix_at + at] = entry
