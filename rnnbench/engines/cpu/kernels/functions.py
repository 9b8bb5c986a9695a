"""exp, tanh, sigmoid, log, softplus, sqrt and relu on vectors: branch-free, at most 2 units in the last place.

The argument is reduced by multiples n of ln 2 held in two parts (Cody and Waite 1980). Adding 1.5 * 2**(mantissa bits)
rounds to n and leaves it in the low bits of the sum, which a shift turns into 2**n. With t = tanh(r / 2),
exp(x) = 2**n (1 + t) / (1 - t): sigmoid and tanh need an odd polynomial only, half as long as that of exp, and one
division each. log and softplus use log((1 + s) / (1 - s)) as in Sun's fdlibm. The polynomials are minimax (Remez 1934),
made by ``tests/minimax.py``. ``tests/test_functions.py`` measures the errors and lists the greatest ones found.
"""

import math
import platform
import struct

from llvmlite import ir
from numba.extending import intrinsic

from .setting import DTYPE
from .vector import BITS, INTEGERS, LANES, SUFFIX, VALUES, llvm_function, multiply_add, number, vector

# exp(r) = 1 + r + r**2 (EXP[0] + EXP[1] r + ..), |r| <= ln 2 / 2
EXP = {
    "float32": (
        "0x1.fffffcp-2", "0x1.55548cp-3", "0x1.555858p-5", "0x1.123ddep-7", "0x1.6ac71ep-10",
    ),
    "float64": (
        "0x1.000000000000ap-1", "0x1.5555555555503p-3", "0x1.5555555550605p-5", "0x1.1111111124c46p-7",
        "0x1.6c16c184b5bd0p-10", "0x1.a01a013e23e24p-13", "0x1.a0199882dd472p-16", "0x1.71def477ac23bp-19",
        "0x1.28af22ff0e36ep-22", "0x1.add70895aef5dp-26",
    ),
}[DTYPE]  # fmt: skip
# tanh(r) = r + r z (TANH[0] + TANH[1] z + ..), z = r**2, |r| <= ln 2 / 4
TANH = {
    "float32": ("-0x1.55554ep-2", "0x1.110594p-3", "-0x1.afd7fcp-5"),
    "float64": (
        "-0x1.55555555554bdp-2", "0x1.11111110e0cf6p-3", "-0x1.ba1ba1173edc7p-5", "0x1.664eca14de106p-6",
        "-0x1.223c823db5f54p-7", "0x1.c3865151165e2p-9",
    ),
}[DTYPE]  # fmt: skip
# The same for sigmoid, whose result feels an error of tanh(r / 2) less: one coefficient fewer does in float32.
SIGMOID = {"float32": ("-0x1.554feep-2", "0x1.0c816ap-3"), "float64": TANH}[DTYPE]
# log((1 + s) / (1 - s)) = 2 s + s z (LOG[0] + LOG[1] z + ..), z = s**2, |s| <= 1 / 5
LOG = {
    "float32": ("0x1.5555b4p-1", "0x1.992a9ap-2", "0x1.36eeb6p-2"),
    "float64": (
        "0x1.5555555555773p-1", "0x1.99999998f16e3p-2", "0x1.249249b1b5394p-2", "0x1.c71c01a438064p-3",
        "0x1.7474d945cf9a9p-3", "0x1.3853878afd1a9p-3", "0x1.3ab91eef2f13dp-3",
    ),
}[DTYPE]  # fmt: skip

# Mantissa bits and exponent bias; exp(x) is 0 below LOWEST and infinite above HIGHEST; sigmoid and tanh are 1 from ONE
# on; SPARE lifts the smallest subnormal number to a normal one.
MANTISSA, BIAS, LOWEST, HIGHEST, ONE, SPARE = {
    "float32": (23, 127, -104.5, 89.0, 20.0, 30),
    "float64": (52, 1023, -746.0, 710.0, 40.0, 60),
}[DTYPE]
# ln 2 in two parts for log: the high part times an exponent is exact.
LN2_SHORT = {"float32": 0.693359375, "float64": float.fromhex("0x1.62e42feep-1")}[DTYPE]
LN2_REST = {
    "float32": float.fromhex("0x1.62e42fefa39efp-1") - LN2_SHORT,
    "float64": float.fromhex("0x1.a39ef35793c76p-33"),
}[DTYPE]
# With fused multiply-adds the high part need not be short: n * LN2 + x is rounded once.
LN2 = {"float32": float.fromhex("0x1.62e43p-1"), "float64": float.fromhex("0x1.62e42fefa39efp-1")}[DTYPE]
LN2_BELOW = float.fromhex({"float32": "-0x1.05c610ca86c39p-29", "float64": "0x1.abc9e3b39803fp-56"}[DTYPE])

# What a processor with vectors of 512 bits has beyond the portable instructions; kernels run where they are compiled.
AVX512 = LANES * BITS == 512 and platform.machine().lower() in ("x86_64", "amd64")
# Division by the 14-bit estimate of the reciprocal: its error is squared by the correction of the quotient.
ESTIMATE = AVX512 and DTYPE == "float32"


def _unary(builder: ir.IRBuilder, name: str, x: ir.Value) -> ir.Value:
    return builder.call(llvm_function(builder, f"llvm.{name}.{SUFFIX}", VALUES, [VALUES]), [x])


def _at_least(builder: ir.IRBuilder, x: ir.Value, low: float) -> ir.Value:
    """Return the larger of x and ``low``; NaN stays NaN, as one instruction of x86 has it."""
    return builder.select(builder.fcmp_ordered(">", number(low), x), number(low), x)


def _at_most(builder: ir.IRBuilder, x: ir.Value, high: float) -> ir.Value:
    """Return the smaller of x and ``high``; NaN stays NaN."""
    return builder.select(builder.fcmp_ordered("<", number(high), x), number(high), x)


def _integers(value: int) -> ir.Constant:
    return ir.Constant(INTEGERS, [value] * LANES)


def _polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: list[float]) -> ir.Value:
    """Return c[0] + c[1] x + .., by Horner's rule."""
    total: ir.Value = number(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = multiply_add(builder, total, x, number(c))
    return total


def _rounded(builder: ir.IRBuilder, x: ir.Value, scale: float, offset: int) -> tuple[ir.Value, ir.Value]:
    """Return n, the whole number nearest to ``scale`` * x, and 2**(n + offset)."""
    magic = 1.5 * 2.0**MANTISSA + BIAS + offset
    shifted = multiply_add(builder, x, number(scale), number(magic))
    n = builder.fsub(shifted, number(magic))
    # The exponent is in the lowest bits; the shift drops all bits above it.
    power = builder.shl(builder.bitcast(shifted, INTEGERS), _integers(MANTISSA))
    return n, builder.bitcast(power, VALUES)


def _reciprocal(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Return 1 / x with a relative error of at most 2**-14, for positive normal x that have a normal reciprocal."""
    if not ESTIMATE:
        return builder.fdiv(number(1.0), x)
    bits = ir.IntType(LANES)
    function = llvm_function(builder, "llvm.x86.avx512.rcp14.ps.512", VALUES, [VALUES, VALUES, bits])
    return builder.call(function, [x, number(0.0), ir.Constant(bits, -1)])


def _exp(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Return exp(x) for LOWEST <= x <= HIGHEST."""
    n, _ = _rounded(builder, x, 1.0 / math.log(2.0), 0)
    r = multiply_add(builder, n, number(-LN2), x)
    r = multiply_add(builder, n, number(-LN2_BELOW), r)
    value = _polynomial(builder, r, [1.0, 1.0, *map(float.fromhex, EXP)])
    if AVX512:
        bits = ir.IntType(max(8, LANES))
        kind = {"float32": "ps", "float64": "pd"}[DTYPE]
        name, i32 = f"llvm.x86.avx512.mask.scalef.{kind}.512", ir.IntType(32)
        function = llvm_function(builder, name, VALUES, [VALUES, VALUES, VALUES, bits, i32])
        return builder.call(function, [value, n, number(0.0), ir.Constant(bits, -1), ir.Constant(i32, 4)])
    # In two steps, since 2**n alone may not be a normal number where the result is. n / 2 is rounded by the addition.
    half, first = _rounded(builder, n, 0.5, 0)
    _, second = _rounded(builder, builder.fsub(n, half), 1.0, 0)
    return builder.fmul(builder.fmul(value, first), second)


def _log1p(builder: ir.IRBuilder, f: ir.Value, k: ir.Value) -> ir.Value:
    """Return log(1 + f) + k ln 2 for -1/4 <= f <= 1/2 and whole numbers k."""
    s = builder.fdiv(f, builder.fadd(f, number(2.0)))
    z = builder.fmul(s, s)
    tail = builder.fmul(z, _polynomial(builder, z, [float.fromhex(c) for c in LOG]))
    half_square = builder.fmul(builder.fmul(f, f), number(0.5))
    # 2 s = f - s f, and s f = f**2 / 2 - s f**2 / 2: f itself stays exact.
    low = multiply_add(builder, s, builder.fadd(half_square, tail), builder.fmul(k, number(LN2_REST)))
    return multiply_add(builder, k, number(LN2_SHORT), builder.fsub(f, builder.fsub(half_square, low)))


@intrinsic
def exp(typingctx, x):
    """Return e to the power x."""

    def generate(context, builder, sig, args):
        return _exp(builder, _at_least(builder, _at_most(builder, args[0], HIGHEST), LOWEST))

    return vector(vector), generate


@intrinsic
def sigmoid(typingctx, x):
    """Return 1 / (1 + exp(-x))."""

    def generate(context, builder, sig, args):
        x = _at_least(builder, _at_most(builder, args[0], ONE), LOWEST)
        # Numerator and denominator are both lifted by 2**SPARE: the result alone may be subnormal.
        n, power = _rounded(builder, x, 1.0 / math.log(2.0), SPARE)
        r = multiply_add(builder, n, number(-LN2), x)
        r = multiply_add(builder, n, number(-LN2_BELOW), r)
        z = builder.fmul(r, r)
        halved = [0.5, *(float.fromhex(c) / 2.0 ** (2 * k + 3) for k, c in enumerate(SIGMOID))]
        t = builder.fmul(r, _polynomial(builder, z, halved))
        grown = multiply_add(builder, power, t, power)
        rest = multiply_add(builder, t, number(-(2.0**SPARE)), number(2.0**SPARE))
        y = _reciprocal(builder, builder.fadd(grown, rest))
        q = builder.fmul(grown, y)
        # One Newton step; the remainder comes from the terms of the denominator, so that its rounding is no error.
        less = builder.fneg(q)
        remainder = multiply_add(builder, less, grown, multiply_add(builder, less, rest, grown))
        return multiply_add(builder, remainder, y, q)

    return vector(vector), generate


@intrinsic
def tanh(typingctx, x):
    """Return the hyperbolic tangent of x."""

    def generate(context, builder, sig, args):
        x = _at_least(builder, _at_most(builder, args[0], ONE / 2), -ONE / 2)
        n, power = _rounded(builder, x, 2.0 / math.log(2.0), 0)
        r = multiply_add(builder, n, number(-LN2 / 2), x)
        z = builder.fmul(r, r)
        u = builder.fmul(z, _polynomial(builder, z, [float.fromhex(c) for c in TANH]))
        t = multiply_add(builder, r, u, r)
        # tanh(n ln 2 / 2 + r) = (a + b t) / (b + a t) with a = 2**n - 1 and b = 2**n + 1, by the addition theorem.
        a, b = builder.fsub(power, number(1.0)), builder.fadd(power, number(1.0))
        y = _reciprocal(builder, multiply_add(builder, a, t, b))
        q = builder.fmul(multiply_add(builder, b, t, a), y)
        if (
            DTYPE == "float64"
        ):  # q in half its bits makes q a and q b exact; float32 has a nearer LN2 and can do without
            half = _integers(-1 << (MANTISSA // 2))
            q = builder.bitcast(builder.and_(builder.bitcast(q, INTEGERS), half), VALUES)
        # One Newton step; the remainder comes from a, b and t, so that the roundings of both sums are no errors.
        less = builder.fneg(q)
        remainder = multiply_add(builder, multiply_add(builder, less, a, b), t, multiply_add(builder, less, b, a))
        value = multiply_add(builder, remainder, y, q)
        # A sum that is zero has lost the sign of -0; everywhere else this sign is there already.
        sign = builder.and_(builder.bitcast(args[0], INTEGERS), _integers(1 << (BITS - 1)))
        return builder.bitcast(builder.or_(builder.bitcast(value, INTEGERS), sign), VALUES)

    return vector(vector), generate


def _split(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return m and k with x = m 2**k, 3/4 <= m < 3/2, for positive normal x."""
    low = int.from_bytes(_bytes_of(0.75), "little")
    bits = builder.bitcast(x, INTEGERS)
    k = builder.ashr(builder.sub(bits, _integers(low)), _integers(MANTISSA))
    m = builder.bitcast(builder.sub(bits, builder.shl(k, _integers(MANTISSA))), VALUES)
    magic = 1.5 * 2.0**MANTISSA
    shifted = builder.add(k, _integers(int.from_bytes(_bytes_of(magic), "little")))
    return m, builder.fsub(builder.bitcast(shifted, VALUES), number(magic))


def _bytes_of(value: float) -> bytes:
    return struct.pack({"float32": "<f", "float64": "<d"}[DTYPE], value)


@intrinsic
def log(typingctx, x):
    """Return the natural logarithm of x: -inf at 0, NaN below."""

    def generate(context, builder, sig, args):
        x = args[0]
        small = builder.fcmp_ordered("<", x, number(2.0 ** (2 - BIAS)))
        lifted = builder.select(small, builder.fmul(x, number(2.0**SPARE)), x)
        m, k = _split(builder, lifted)
        k = builder.fsub(k, builder.select(small, number(float(SPARE)), number(0.0)))
        value = _log1p(builder, builder.fsub(m, number(1.0)), k)
        zero = builder.fcmp_ordered("==", x, number(0.0))
        negative = builder.fcmp_ordered("<", x, number(0.0))
        # What is not positive and finite: -inf, NaN, or x itself (inf and NaN).
        special = builder.select(negative, number(math.nan), x)
        special = builder.select(zero, number(-math.inf), special)
        usual = builder.and_(builder.fcmp_ordered(">", x, number(0.0)), builder.fcmp_ordered("<", x, number(math.inf)))
        return builder.select(usual, value, special)

    return vector(vector), generate


@intrinsic
def softplus(typingctx, x):
    """Return log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|))."""

    def generate(context, builder, sig, args):
        x = args[0]
        w = _exp(builder, _at_least(builder, builder.fneg(_unary(builder, "fabs", x)), LOWEST))
        large = builder.fcmp_ordered(">", w, number(0.5))
        # 1 + w = 2 (1 + f) where w > 1/2.
        f = builder.select(large, multiply_add(builder, w, number(0.5), number(-0.5)), w)
        value = _log1p(builder, f, builder.select(large, number(1.0), number(0.0)))
        return builder.fadd(_at_least(builder, x, 0.0), value)

    return vector(vector), generate


@intrinsic
def sqrt(typingctx, x):
    """Return the square root of x, correctly rounded."""
    return vector(vector), lambda context, builder, sig, args: _unary(builder, "sqrt", args[0])


@intrinsic
def floor(typingctx, x):
    """Return the largest whole number up to x."""
    return vector(vector), lambda context, builder, sig, args: _unary(builder, "floor", args[0])


@intrinsic
def relu(typingctx, x):
    """Return max(x, 0); NaN stays NaN."""
    return vector(vector), lambda context, builder, sig, args: _at_least(builder, args[0], 0.0)
