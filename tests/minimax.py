"""Makes the coefficients of the kernels' elementary functions: run this file to print them.

Each polynomial approximates a function given by its Taylor series on an interval, such that the greatest relative error
of what it is used for is least (Remez 1934, the exchange algorithm, on a grid of Chebyshev points, in 50 digits). Its
coefficients are rounded to the kernels' dtype one after another, the lowest power first, and all later ones are fitted
anew to what the rounding left.
"""

from collections.abc import Callable
from decimal import Decimal, getcontext
from fractions import Fraction
from math import cos, factorial, pi

import numpy as np

getcontext().prec = 50
TERMS = 40
GRID = 400
LN2 = Decimal(2).ln()


def decimal(x: Fraction | float) -> Decimal:
    """Return a number as a Decimal."""
    x = Fraction(x)
    return Decimal(x.numerator) / Decimal(x.denominator)


def polynomial(coefficients: list[Decimal], x: Decimal) -> Decimal:
    """Return the value at x of a polynomial, lowest power first."""
    total = Decimal(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def _tanh_series(count: int) -> list[Fraction]:
    """Return the coefficients of tanh(x) / x in powers of x**2, from tanh' = 1 - tanh**2."""
    t = [Fraction(1)]
    for n in range(1, count):
        t.append(-sum((t[i] * t[n - 1 - i] for i in range(n)), Fraction(0)) / (2 * n + 1))
    return t


_TANH = [decimal(c) for c in _tanh_series(TERMS)]
# name: (Taylor series of the function g that is approximated, its interval, the weight of g's error in the result).
# exp(r) = 1 + r + r**2 g(r), |r| <= ln 2 / 2
# tanh(r) = r + r z g(z), z = r**2, |r| <= ln 2 / 4
# log((1 + s) / (1 - s)) = 2 s + s z g(z), z = s**2, |s| <= 1 / 5
Weight = Callable[[Decimal], Decimal]
TARGETS: dict[str, tuple[list[Decimal], tuple[Decimal, Decimal], Weight]] = {
    "exp": (
        [decimal(Fraction(1, factorial(k + 2))) for k in range(TERMS)],
        (-LN2 / 2 * Decimal("1.0001"), LN2 / 2 * Decimal("1.0001")),
        lambda r: r * r / r.exp(),
    ),
    "tanh": (
        _TANH[1:],
        (Decimal(0), (LN2 / 4 * Decimal("1.0001")) ** 2),
        lambda z: z / polynomial(_TANH, z),
    ),
    "log": (
        [decimal(Fraction(2, 2 * k + 3)) for k in range(TERMS)],
        (Decimal(0), Decimal("0.04")),
        lambda z: z / polynomial([decimal(Fraction(2, 2 * k + 1)) for k in range(TERMS)], z),
    ),
}


def _solved(rows: list[list[Decimal]]) -> list[Decimal]:
    """Return the solution of a linear system whose last column is its right side."""
    n = len(rows)
    for i in range(n):
        pivot = max(range(i, n), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(n):
            if j != i:
                ratio = rows[j][i] / rows[i][i]
                rows[j] = [a - ratio * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


class Fit:
    """The best polynomial for a target: ``coefficients``, and ``error``, the greatest weighted error on the grid."""

    def __init__(self, name: str, dtype: str, count: int) -> None:
        series, (low, high), weight = TARGETS[name]
        nodes = [decimal(cos(pi * (k + 0.5) / GRID)) for k in range(GRID)]
        self.grid = [(low + high) / 2 + (high - low) / 2 * u for u in nodes]
        self.values = [polynomial(series, x) for x in self.grid]
        self.weights = [weight(x) for x in self.grid]
        self.fixed: list[Decimal] = []
        while len(self.fixed) < count:
            lowest = self._remez(count - len(self.fixed))[0]
            self.fixed.append(decimal(float(np.dtype(dtype).type(lowest))))
        self.coefficients = [float(c) for c in self.fixed]
        self.error = float(max(abs(e) for e in self._errors([])))

    def _errors(self, free: list[Decimal]) -> list[Decimal]:
        all_of_them = self.fixed + free
        return [
            w * (polynomial(all_of_them, x) - f)
            for x, f, w in zip(self.grid, self.values, self.weights, strict=True)
        ]  # fmt: skip

    def _remez(self, count: int) -> list[Decimal]:
        """Return the best coefficients of the powers that are not fixed yet."""
        used = [round((i + 0.5) * GRID / (count + 1)) for i in range(count + 1)]
        powers = range(len(self.fixed), len(self.fixed) + count)
        best: tuple[Decimal, list[Decimal]] | None = None
        for _ in range(12):  # quadratic convergence, until the grid's own coarseness decides
            rows = []
            for sign, i in enumerate(used):
                x, w = self.grid[i], self.weights[i]
                left = self.values[i] - polynomial(self.fixed, x)
                rows.append([w * x**p for p in powers] + [Decimal((-1) ** sign), w * left])
            *free, level = _solved(rows)
            errors = self._errors(free)
            worst = max(map(abs, errors))
            if best is None or worst < best[0]:
                best = worst, free
            # The extreme of each run of equal sign; of the runs, as many neighbours as there are unknowns.
            runs: list[int] = []
            for i, e in enumerate(errors):
                if runs and (errors[runs[-1]] > 0) == (e > 0):
                    runs[-1] = i if abs(e) > abs(errors[runs[-1]]) else runs[-1]
                else:
                    runs.append(i)
            while len(runs) > count + 1:
                runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
            if len(runs) < count + 1 or worst <= abs(level) * Decimal("1.0001"):
                break
            used = runs
        assert best is not None
        return best[1]


# Coefficients of each table in rnnbench/engines/cpu/kernels/functions.py: (target, how many by dtype).
TABLES = {
    "EXP": ("exp", {"float32": 5, "float64": 10}),
    "TANH": ("tanh", {"float32": 3, "float64": 6}),
    "SIGMOID": ("tanh", {"float32": 2, "float64": 6}),
    "LOG": ("log", {"float32": 3, "float64": 7}),
}

if __name__ == "__main__":
    for table, (target, counts) in TABLES.items():
        for kind, number in counts.items():
            fit = Fit(target, kind, number)
            print(table, kind, f"error {fit.error:.2e}", *(c.hex() for c in fit.coefficients))
