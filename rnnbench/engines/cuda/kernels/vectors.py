"""What happens to vectors outside the steps: put into blocks and taken out, filled, summed, and checked."""

import numpy as np
from numba import cuda

from .compiled import constant, kernel
from .setting import DTYPE

ZERO = constant(0.0)
LARGEST = constant(np.finfo(DTYPE).max)


@kernel
def put(source, block, step, vector, first):
    """Copy ``source`` [B, n] to one vector of a step of ``block`` [steps, B, vectors, values], from ``first`` on."""
    unit_start, row_start = cuda.grid(2)
    unit_step, row_step = cuda.gridsize(2)
    for row in range(row_start, block.shape[1], row_step):
        for unit in range(unit_start, source.shape[1], unit_step):
            block[step, row, vector, first + unit] = source[row, unit]


@kernel
def take(block, step, vector, first, target):
    """Copy one vector of a step of ``block`` [steps, B, vectors, values], from ``first`` on, to ``target`` [B, n]."""
    unit_start, row_start = cuda.grid(2)
    unit_step, row_step = cuda.gridsize(2)
    for row in range(row_start, block.shape[1], row_step):
        for unit in range(unit_start, target.shape[1], unit_step):
            target[row, unit] = block[step, row, vector, first + unit]


@kernel
def repeat(pattern, target):
    """Fill ``target`` [n] with ``pattern`` [m], again and again."""
    for at in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        target[at] = pattern[at % pattern.shape[0]]


@kernel
def clear(target):
    """Fill ``target`` [n] with zeros."""
    for at in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        target[at] = ZERO


@kernel
def sum_rows(block, totals):
    """Sum ``block`` [1, B, vectors, H] over its rows, in their order, to ``totals`` [vectors, H]."""
    unit_start, vector_start = cuda.grid(2)
    unit_step, vector_step = cuda.gridsize(2)
    for vector in range(vector_start, block.shape[2], vector_step):
        for unit in range(unit_start, block.shape[3], unit_step):
            total = ZERO
            for row in range(block.shape[1]):
                total += block[0, row, vector, unit]
            totals[vector, unit] = total


@kernel
def note_not_finite(values, found, which):
    """Set ``found[which]`` where one of ``values`` [n] is infinite or not a number."""
    for at in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        if not (-LARGEST <= values[at] <= LARGEST):
            found[which] = 1


@kernel
def note_largest(values, found):
    """Raise ``found[0]`` to the largest size of ``values`` [n]; what is not a number does not count."""
    largest = ZERO
    for at in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        largest = max(largest, abs(values[at]))
    cuda.atomic.max(found, 0, largest)


@kernel
def scale(source, factor, target):
    """Set ``target`` [n] to ``factor`` times ``source`` [n]."""
    for at in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        target[at] = factor * source[at]
