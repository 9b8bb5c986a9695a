"""Loops that do nothing but what limits a kernel: multiply-adds in registers, and reads of a block of memory.

Each writes what it computed, so that nothing of it can be left out.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import limit_sizes
from .compiled import kernel
from .limit_sizes import SUMS
from .setting import LANES, REGISTERS
from .vector import INDEX, INTEGERS, SIZE, VALUES, address, load_vector, multiply_add, pointer, store_vector

CHAINS = limit_sizes.CHAINS[REGISTERS]
VECTOR_BYTES = LANES * SIZE
READ_BYTES = SUMS * VECTOR_BYTES  # what one turn of the read loop reads


def _at(builder: ir.IRBuilder, start: ir.Value, vectors: int) -> ir.Value:
    return pointer(builder, start, ir.Constant(INDEX, vectors * VECTOR_BYTES))


def _make_chains(chains: int):
    """Return ``v[i] = v[i] * x + y``, ``rounds`` times over, for ``chains`` vectors v with x and y behind them."""

    @intrinsic
    def run(typingctx, rounds, start):
        def generate(context, builder, sig, args):
            rounds, start = args
            values = [cgutils.alloca_once(builder, VALUES) for _ in range(chains)]
            for i, value in enumerate(values):
                builder.store(load_vector(builder, _at(builder, start, i)), value)
            x, y = (load_vector(builder, _at(builder, start, chains + i)) for i in range(2))
            with cgutils.for_range(builder, rounds):
                for value in values:
                    builder.store(multiply_add(builder, builder.load(value), x, y), value)
            for i, value in enumerate(values):
                store_vector(builder, builder.load(value), _at(builder, start, i))
            return context.get_dummy_value()

        return types.void(types.int64, address), generate

    return run


independent_chains, one_chain = _make_chains(CHAINS), _make_chains(1)


@intrinsic
def add_whole_numbers(typingctx, start, end, passes, totals):
    """Add the vectors from ``start`` to ``end``, as whole numbers that wrap, to SUMS vectors at ``totals``."""

    def generate(context, builder, sig, args):
        start, end, passes, totals = args
        sums = [cgutils.alloca_once(builder, INTEGERS) for _ in range(SUMS)]
        for i, total in enumerate(sums):
            builder.store(builder.bitcast(load_vector(builder, _at(builder, totals, i)), INTEGERS), total)
        with cgutils.for_range(builder, passes):
            with cgutils.for_range_slice(builder, start, end, ir.Constant(INDEX, READ_BYTES), inc=True) as (place, _):
                for i, total in enumerate(sums):
                    read = builder.bitcast(load_vector(builder, _at(builder, place, i)), INTEGERS)
                    builder.store(builder.add(builder.load(total), read), total)
        for i, total in enumerate(sums):
            store_vector(builder, builder.bitcast(builder.load(total), VALUES), _at(builder, totals, i))
        return context.get_dummy_value()

    return types.void(*[address] * 4), generate


@kernel
def multiply_adds(rounds, values):
    """CHAINS multiply-adds a round, none of which waits for another."""
    independent_chains(rounds, values)


@kernel
def dependent_multiply_adds(rounds, values):
    """One multiply-add a round, each of which waits for the one before."""
    one_chain(rounds, values)


@kernel
def read(start, size, passes, totals):
    """Read ``size`` bytes, a multiple of READ_BYTES, ``passes`` times over."""
    add_whole_numbers(start, start + size, passes, totals)
