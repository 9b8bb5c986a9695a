"""The language that cells are written in, and its compiler. Knows no arrays and no Numba."""

from rnnbench.lang.ops import absolute, exp, floor, log, maximum, minimum, relu, sigmoid, softplus, sqrt, tanh, where
from rnnbench.lang.spec import CellSpec, cell
from rnnbench.lang.trace import Program

__all__ = [
    "CellSpec", "Program", "absolute", "cell", "exp", "floor", "log", "maximum", "minimum", "relu", "sigmoid",
    "softplus", "sqrt", "tanh", "where",
]  # fmt: skip
