"""exp, tanh, sigmoid, sqrt and relu on vectors: branch-free, with errors of a few units in the last place.

exp: argument reduced by multiples of ln 2 held in two parts (Cody and Waite 1980), then a Taylor polynomial on
[-ln2/2, ln2/2], whose remainder is below half a unit in the last place. tanh comes from exp(2|x|) - 1 formed without
cancellation, so that small arguments keep their relative accuracy.
"""

import math

from llvmlite import ir
from numba.extending import intrinsic

from .setting import DTYPE
from .vector import FLAGS, INTEGERS, LANES, SUFFIX, VALUES, llvm_function, multiply_add, number, vector

# float32 / float64: high part of ln 2 (its last bits zero, so that products with small integers are exact), degree of
# the polynomial, mantissa bits, exponent bias, the range of exp, and the argument from which tanh is 1.
LN2_HIGH, DEGREE, MANTISSA, BIAS, LOWEST, HIGHEST, TANH_ONE = {
    "float32": (0.693359375, 7, 23, 127, -104.0, 89.0, 10.0),
    "float64": (0.693145751953125, 13, 52, 1023, -746.0, 710.0, 22.0),
}[DTYPE]
LN2_LOW = float.fromhex("0x1.62e42fefa39efp-1") - LN2_HIGH + 2.3190468138462996e-17
# Where a power of two fits into one normal number.
NORMAL = {"float32": 87.0, "float64": 708.0}[DTYPE]


def _clamp(builder: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    """Return x limited to [low, high]; NaN stays NaN."""
    x = builder.select(builder.fcmp_ordered(">", x, number(high)), number(high), x)
    return builder.select(builder.fcmp_ordered("<", x, number(low)), number(low), x)


def _power_of_two(builder: ir.IRBuilder, n: ir.Value) -> ir.Value:
    """Return 2**n for a vector of whole numbers in the range of normal exponents."""
    shifted = builder.add(n, ir.Constant(INTEGERS, [BIAS] * LANES))
    return builder.bitcast(builder.shl(shifted, ir.Constant(INTEGERS, [MANTISSA] * LANES)), VALUES)


def _reduced(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return (n, p) with exp(x) = 2**n (1 + p), n a vector of integers and |p| < 0.42."""
    scaled = builder.fmul(x, number(1.0 / math.log(2.0)))
    n = builder.call(llvm_function(builder, f"llvm.rint.{SUFFIX}", VALUES, [VALUES]), [scaled])
    r = multiply_add(builder, n, number(-LN2_HIGH), x)
    r = multiply_add(builder, n, number(-LN2_LOW), r)
    p = number(1.0 / math.factorial(DEGREE))
    for k in range(DEGREE - 1, 1, -1):
        p = multiply_add(builder, p, r, number(1.0 / math.factorial(k)))
    p = multiply_add(builder, builder.fmul(p, r), r, r)
    return builder.fptosi(n, INTEGERS), p


def _exp_normal(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Return exp(x) for |x| <= NORMAL."""
    n, p = _reduced(builder, x)
    power = _power_of_two(builder, n)
    return multiply_add(builder, power, p, power)


@intrinsic
def exp(typingctx, x):
    """Return e to the power x."""

    def generate(context, builder, sig, args):
        n, p = _reduced(builder, _clamp(builder, args[0], LOWEST, HIGHEST))
        # In two steps, since 2**n alone may not be a normal number where the result is.
        half = builder.ashr(n, ir.Constant(INTEGERS, [1] * LANES))
        first, second = _power_of_two(builder, half), _power_of_two(builder, builder.sub(n, half))
        return builder.fmul(multiply_add(builder, first, p, first), second)

    return vector(vector), generate


@intrinsic
def sigmoid(typingctx, x):
    """Return 1 / (1 + exp(-x))."""

    def generate(context, builder, sig, args):
        e = _exp_normal(builder, _clamp(builder, builder.fneg(args[0]), -NORMAL, NORMAL))
        return builder.fdiv(number(1.0), builder.fadd(number(1.0), e, flags=FLAGS))

    return vector(vector), generate


@intrinsic
def tanh(typingctx, x):
    """Return the hyperbolic tangent of x."""

    def generate(context, builder, sig, args):
        size = builder.call(llvm_function(builder, f"llvm.fabs.{SUFFIX}", VALUES, [VALUES]), [args[0]])
        size = builder.select(builder.fcmp_ordered(">", size, number(TANH_ONE)), number(TANH_ONE), size)
        n, p = _reduced(builder, builder.fadd(size, size))
        power = _power_of_two(builder, n)
        less_one = multiply_add(builder, power, p, builder.fsub(power, number(1.0)))
        value = builder.fdiv(less_one, builder.fadd(less_one, number(2.0)))
        copysign = llvm_function(builder, f"llvm.copysign.{SUFFIX}", VALUES, [VALUES, VALUES])
        return builder.call(copysign, [value, args[0]])

    return vector(vector), generate


@intrinsic
def sqrt(typingctx, x):
    """Return the square root of x, correctly rounded."""
    return vector(vector), lambda context, builder, sig, args: builder.call(
        llvm_function(builder, f"llvm.sqrt.{SUFFIX}", VALUES, [VALUES]), args
    )


@intrinsic
def relu(typingctx, x):
    """Return max(x, 0); NaN stays NaN."""

    def generate(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", args[0], number(0.0)), number(0.0), args[0])

    return vector(vector), generate
