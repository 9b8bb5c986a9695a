"""Whether arithmetic keeps numbers too small for a normal exponent: a register of each thread.

A gradient that vanishes over a long sequence passes through them, and a processor takes a hundred cycles and more for
every operation on one. A call treats them as zero, and puts the register back for its caller when it ends.
"""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector import INDEX, llvm_function

X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
# MXCSR: results (bit 15) and operands (bit 6) that are too small are zero. FPCR of AArch64: both (bit 24).
FLUSH = 1 << 15 | 1 << 6 if X86 else 1 << 24
CONTROL = ir.IntType(32) if X86 else INDEX


def _read(builder: ir.IRBuilder) -> ir.Value:
    if X86:
        place = cgutils.alloca_once(builder, CONTROL)
        builder.call(llvm_function(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [place.type]), [place])
        return builder.load(place)
    kind = ir.FunctionType(INDEX, [])
    return builder.call(ir.InlineAsm(kind, "mrs $0, fpcr", "=r", side_effect=True), [])


def _write(builder: ir.IRBuilder, value: ir.Value) -> None:
    if X86:
        place = cgutils.alloca_once(builder, CONTROL)
        builder.store(value, place)
        builder.call(llvm_function(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [place.type]), [place])
    else:
        kind = ir.FunctionType(ir.VoidType(), [INDEX])
        builder.call(ir.InlineAsm(kind, "msr fpcr, $0", "r", side_effect=True), [value])


@intrinsic
def flush_subnormals(typingctx):
    """Treat numbers too small for a normal exponent as zero from here on; return what ``restore`` needs."""

    def generate(context, builder, sig, args):
        before = _read(builder)
        _write(builder, builder.or_(before, ir.Constant(CONTROL, FLUSH)))
        return builder.zext(before, INDEX) if X86 else before

    return types.int64(), generate


@intrinsic
def restore(typingctx, before):
    """Put back what held before ``flush_subnormals``."""

    def generate(context, builder, sig, args):
        _write(builder, builder.trunc(args[0], CONTROL) if X86 else args[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate
