"""Waiting for other threads: atomic operations on int64 and a barrier that spins, then gives its time slice away."""

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiled import body
from .layout import ARRIVED, GENERATION, YIELD
from .vector import INDEX, address, call, integer_at

# How often to look before the thread lets others run on its core: about 50 microseconds.
SPINS = 1000


def _word(builder: ir.IRBuilder, start: ir.Value, index: ir.Value) -> ir.Value:
    table = builder.inttoptr(start, INDEX.as_pointer())
    return builder.gep(table, [index], source_etype=INDEX)


@intrinsic
def atomic_load(typingctx, start, index):
    """Return entry ``index`` of a table; what its writer wrote before it is visible from then on."""

    def generate(context, builder, sig, args):
        return builder.load_atomic(_word(builder, *args), "acquire", 8, typ=INDEX)

    return types.int64(address, types.int64), generate


@intrinsic
def atomic_store(typingctx, start, index, value):
    """Set entry ``index`` of a table; everything written before is visible to who reads it."""

    def generate(context, builder, sig, args):
        builder.store_atomic(args[2], _word(builder, *args[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(address, types.int64, types.int64), generate


@intrinsic
def atomic_add(typingctx, start, index, value):
    """Add to entry ``index`` of a table and return what it was."""

    def generate(context, builder, sig, args):
        return builder.atomic_rmw("add", _word(builder, *args[:2]), args[2], "seq_cst")

    return types.int64(address, types.int64, types.int64), generate


@intrinsic
def exchange(typingctx, start, index, value):
    """Set entry ``index`` of a table and return what it was."""

    def generate(context, builder, sig, args):
        return builder.atomic_rmw("xchg", _word(builder, *args[:2]), args[2], "seq_cst")

    return types.int64(address, types.int64, types.int64), generate


@intrinsic
def compare_exchange(typingctx, start, index, expected, value):
    """Set entry ``index`` of a table if it is ``expected``, and return whether it was."""

    def generate(context, builder, sig, args):
        found = builder.cmpxchg(_word(builder, *args[:2]), args[2], args[3], "seq_cst", "seq_cst")
        return builder.zext(builder.extract_value(found, 1), INDEX)

    return types.int64(address, types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typingctx):
    """Tell the processor that this is a waiting loop."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")

    def generate(context, builder, sig, args):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(ir.InlineAsm(kind, "pause" if x86 else "yield", "~{memory}", side_effect=True), [])
        return context.get_dummy_value()

    return types.void(), generate


@body
def wait_for_all(barrier, threads):
    """Return when all ``threads`` threads have come here."""
    if threads > 1:
        generation = atomic_load(barrier, GENERATION)
        if atomic_add(barrier, ARRIVED, 1) == threads - 1:
            atomic_store(barrier, ARRIVED, 0)
            atomic_store(barrier, GENERATION, generation + 1)
        else:
            spins = 0
            while atomic_load(barrier, GENERATION) == generation:
                pause()
                spins += 1
                if spins > SPINS:
                    call(integer_at(barrier, YIELD), ())
