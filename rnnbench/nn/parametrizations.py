"""Structured weights in numbers: from free arrays to the parameters that an engine multiplies, and back for gradients.

All of it runs in float64, once a call, outside the time loop. Which free arrays a structure has is in
``rnnbench.lang.weights``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any

import numpy as np

from rnnbench.lang.weights import STRUCTURES, Shape, Structure, declared, free_shapes
from rnnbench.nn import unitary
from rnnbench.nn.initialisers import initial, of_another, rule_for

Arrays = dict[str, np.ndarray]
Matrices = tuple[np.ndarray, ...]
# How a free array starts: an initialiser by name, a number, or a function of those drawn before it.
Initial = str | float | Callable[..., np.ndarray]


@dataclass(frozen=True)
class Rule:
    """``value(shapes, free, *arguments)`` returns the parameters, each to be broadcast to its shape;
    ``adjoint(gradients, values, free, *arguments)`` the gradients of the free arrays. ``initial`` says by suffix how
    free arrays start that have no initialiser of their own."""

    value: Callable[..., Matrices]
    adjoint: Callable[..., Matrices]
    initial: Mapping[str, Initial]


def _antisymmetric(shapes: Sequence[Shape], free: Matrices) -> Matrices:
    return (free[0] - free[0].T,)


def _antisymmetric_adjoint(gradients: Matrices, values: Matrices, free: Matrices) -> Matrices:
    return (gradients[0] - gradients[0].T,)


def _exponential(shapes: Sequence[Shape], free: Matrices) -> Matrices:
    """The exponential of A - A^T, a rotation (Lezcano-Casado and Martinez-Rubio 2019, arXiv:1901.08428)."""
    from scipy.linalg import expm  # here, since most layers need none of SciPy

    return (expm(free[0] - free[0].T),)


def _exponential_adjoint(gradients: Matrices, values: Matrices, free: Matrices) -> Matrices:
    from scipy.linalg import expm_frechet

    # The adjoint of the derivative of exp at X is its derivative at X^T, which is A^T - A.
    through = np.asarray(expm_frechet(free[0].T - free[0], gradients[0], compute_expm=False))
    return (through - through.T,)


def _cayley(shapes: Sequence[Shape], free: Matrices) -> Matrices:
    """The Cayley transform (I - X)^-1 (I + X) of X = A - A^T (Helfrich et al. 2018, arXiv:1707.09520)."""
    skew, one = free[0] - free[0].T, np.eye(len(free[0]))
    return (np.linalg.solve(one - skew, one + skew),)


def _cayley_adjoint(gradients: Matrices, values: Matrices, free: Matrices) -> Matrices:
    # (I - X) Q = I + X, so dQ = (I - X)^-1 dX (I + Q).
    skew, one = free[0] - free[0].T, np.eye(len(free[0]))
    through = np.linalg.solve((one - skew).T, gradients[0] @ (one + values[0]).T)
    return (through - through.T,)


def _low_rank(shapes: Sequence[Shape], free: Matrices, rank: float) -> Matrices:
    return (free[0] @ free[1],)


def _low_rank_adjoint(gradients: Matrices, values: Matrices, free: Matrices, rank: float) -> Matrices:
    left, right = free
    return gradients[0] @ right.T, left.T @ gradients[0]


def _block_diagonal(shapes: Sequence[Shape], free: Matrices, heads: float) -> Matrices:
    number, rows, columns = free[0].shape
    whole = np.zeros((number, rows, number, columns))
    whole[range(number), :, range(number)] = free[0]
    return (whole.reshape(number * rows, number * columns),)


def _block_diagonal_adjoint(gradients: Matrices, values: Matrices, free: Matrices, heads: float) -> Matrices:
    number, rows, columns = free[0].shape
    return (gradients[0].reshape(number, rows, number, columns)[range(number), :, range(number)],)


def _groups(size: int, groups: float) -> np.ndarray:
    """Return the group of each unit; groups are consecutive and differ in size by one unit at most."""
    return np.arange(size) * int(groups) // size


def _lower(size: int, groups: float) -> np.ndarray:
    """Return where the row's group is not before the column's: units hear their own group and those after it."""
    group = _groups(size, groups)
    return group[:, None] >= group[None, :]


def _block_lower(shapes: Sequence[Shape], free: Matrices, groups: float) -> Matrices:
    return (np.where(_lower(len(free[0]), groups), free[0], 0.0),)


def _block_lower_adjoint(gradients: Matrices, values: Matrices, free: Matrices, groups: float) -> Matrices:
    return (np.where(_lower(len(free[0]), groups), gradients[0], 0.0),)


def _bounded(shapes: Sequence[Shape], free: Matrices, limit: float) -> Matrices:
    return (limit * np.tanh(free[0] / limit),)


def _bounded_adjoint(gradients: Matrices, values: Matrices, free: Matrices, limit: float) -> Matrices:
    return (gradients[0] * (1.0 - (values[0] / limit) ** 2),)


def _shared(shapes: Sequence[Shape], free: Matrices, heads: float = 1) -> Matrices:
    return (np.repeat(free[0], shapes[0][-1] // int(heads), axis=-1),)


def _shared_adjoint(gradients: Matrices, values: Matrices, free: Matrices, heads: float = 1) -> Matrices:
    return (gradients[0].reshape(*free[0].shape, -1).sum(axis=-1),)


def _polar(shapes: Sequence[Shape], free: Matrices) -> Matrices:
    """Real and imaginary part of exp(-exp(radius) + i exp(angle)), and exp(gamma) (Orvieto et al. 2023)."""
    radius, angle, gamma = free
    modulus, phase = np.exp(-np.exp(radius)), np.exp(angle)
    return modulus * np.cos(phase), modulus * np.sin(phase), np.exp(gamma)


def _polar_adjoint(gradients: Matrices, values: Matrices, free: Matrices) -> Matrices:
    (d_real, d_imaginary, d_gamma), (real, imaginary, gamma), (radius, angle, _) = gradients, values, free
    d_radius = -np.exp(radius) * (d_real * real + d_imaginary * imaginary)
    return d_radius, np.exp(angle) * (d_imaginary * real - d_real * imaginary), d_gamma * gamma


def _normalising(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return the logarithm of sqrt(1 - |eigenvalue|^2), with which a state keeps the size of its input."""
    return 0.5 * np.log(-np.expm1(-2.0 * np.exp(radius)))


def _held(free: Matrices) -> tuple[Any, Any, Any, Any]:
    """Return eigenvalues, steps, discretised eigenvalues and factors of the input, all but the steps complex."""
    decay, frequency, step = free
    eigenvalue, interval = -np.exp(decay) + 1j * frequency, np.exp(step)
    discrete = np.exp(eigenvalue * interval)
    return eigenvalue, interval, discrete, np.expm1(eigenvalue * interval) / eigenvalue


def _hold(shapes: Sequence[Shape], free: Matrices) -> Matrices:
    """The zero-order hold of a diagonal system with eigenvalues -exp(decay) + i frequency (Smith et al. 2023)."""
    _, _, discrete, factor = _held(free)
    return discrete.real, discrete.imag, factor.real, factor.imag


def _hold_adjoint(gradients: Matrices, values: Matrices, free: Matrices) -> Matrices:
    eigenvalue, interval, discrete, factor = _held(free)
    # The gradient of a complex number z is dL/dRe z + i dL/dIm z; that of z in f(z) is that of f times conj(f').
    of_discrete, of_factor = gradients[0] + 1j * gradients[1], gradients[2] + 1j * gradients[3]
    by_eigenvalue = (interval * discrete - factor) / eigenvalue  # of the factor
    of_eigenvalue = of_discrete * np.conj(interval * discrete) + of_factor * np.conj(by_eigenvalue)
    of_interval = np.real(of_discrete * np.conj(eigenvalue * discrete) + of_factor * np.conj(discrete))
    return -np.exp(free[0]) * of_eigenvalue.real, of_eigenvalue.imag, interval * of_interval


@cache
def _memory(order: int, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Return A [order, order] and B [order] of a Legendre memory over ``window`` steps, held constant over a step.

    Nothing here is trained, and the exponential takes longer than a sequence: it is formed once a process.
    """
    from scipy.linalg import expm

    i, j = np.indices((order, order))
    sign = np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    row = (2.0 * np.arange(order) + 1.0) / window
    held = np.zeros((order + 1, order + 1))
    held[:-1, :-1] = row[:, None] * sign
    held[:-1, -1] = row * (-1.0) ** np.arange(order)
    held = expm(held)
    held.flags.writeable = False
    return held[:-1, :-1], held[:-1, -1]


def _legendre(shapes: Sequence[Shape], free: Matrices, window: float) -> Matrices:
    """The matrix by which a row of coefficients moves on by a step (Voelker et al. 2019, equations 1 and 4)."""
    return (_memory(shapes[0][0], window)[0].T,)


def _onto_legendre(shapes: Sequence[Shape], free: Matrices, window: float) -> Matrices:
    """One column of weights, whose sum is what a Legendre memory takes up."""
    return (free[0] * _memory(shapes[0][1], window)[1],)


def _onto_legendre_adjoint(gradients: Matrices, values: Matrices, free: Matrices, window: float) -> Matrices:
    return (gradients[0] @ _memory(gradients[0].shape[1], window)[1][:, None],)


def _periods(shapes: Sequence[Shape], free: Matrices, groups: float) -> Matrices:
    return (2.0 ** _groups(shapes[0][0], groups),)


def _constant_adjoint(gradients: Matrices, values: Matrices, free: Matrices, *arguments: float) -> Matrices:
    return ()


RULES: dict[str, Rule] = {
    "antisymmetric": Rule(_antisymmetric, _antisymmetric_adjoint, {"": "fan_normal"}),
    "orthogonal_exp": Rule(_exponential, _exponential_adjoint, {"": "rotations"}),
    "orthogonal_cayley": Rule(_cayley, _cayley_adjoint, {"": "rotations"}),
    "low_rank": Rule(_low_rank, _low_rank_adjoint, {"left": "glorot_uniform", "right": "glorot_uniform"}),
    "block_diagonal": Rule(_block_diagonal, _block_diagonal_adjoint, {"": "glorot_uniform"}),
    "block_lower": Rule(_block_lower, _block_lower_adjoint, {}),
    "bounded": Rule(_bounded, _bounded_adjoint, {}),
    "shared": Rule(_shared, _shared_adjoint, {}),
    "stable_polar": Rule(
        _polar,
        _polar_adjoint,
        {"radius": "ring(0.9, 0.999)", "angle": f"log_uniform(0, {2 * np.pi})", "gamma": _normalising},
    ),
    "zero_order_hold": Rule(
        _hold,
        _hold_adjoint,
        {
            "decay": float(np.log(0.5)),
            "frequency": "legendre_frequencies",
            "step": "uniform(-6.9077553, -2.3025851)",
        },
    ),
    "unitary": Rule(
        lambda shapes, free: unitary.matrix(*free),
        lambda gradients, values, free: unitary.adjoint(*gradients, *free),
        {"phases": f"uniform({-np.pi}, {np.pi})", "reflections": "uniform(-1, 1)"},
    ),
    "periods": Rule(_periods, _constant_adjoint, {}),
    "legendre": Rule(_legendre, _constant_adjoint, {}),
    "onto_legendre": Rule(_onto_legendre, _onto_legendre_adjoint, {"": "lecun_uniform"}),
}
assert RULES.keys() == STRUCTURES.keys()


def values(structure: Structure, shapes: Sequence[Shape], free: Sequence[np.ndarray]) -> Matrices:
    """Return the parameters of a structure, in float64, each to be broadcast to its shape."""
    return RULES[structure.name].value(shapes, tuple(f.astype(np.float64) for f in free), *structure.arguments)


def adjoint(
    structure: Structure, gradients: Sequence[np.ndarray], made: Matrices, free: Sequence[np.ndarray]
) -> Matrices:
    """Return the gradients of the free arrays, in float64, from those of the parameters that ``values`` made."""
    upstream, wide = (tuple(array.astype(np.float64) for array in arrays) for arrays in (gradients, free))
    return RULES[structure.name].adjoint(upstream, made, wide, *structure.arguments)


class Structured:
    """The weights of one layer: what it trains, and what its engine multiplies.

    ``structures`` is as in ``rnnbench.lang.weights.declared``, with the hyper-parameters that it may name; ``shapes``
    are those of the program's parameters. The attribute ``shapes`` then has those of what is trained.
    """

    def __init__(
        self, structures: Mapping[str, str], shapes: Mapping[str, Shape], hyper: Mapping[str, float] | None = None
    ) -> None:
        self._wanted = dict(shapes)
        self._structures = declared(structures, list(shapes), hyper)
        self.shapes = free_shapes(self._structures, list(shapes), self._wanted.__getitem__)
        self._params: Arrays = {}
        self._weights: Arrays = {}
        self._made: list[Matrices] = []

    def diagonal_blocks(self) -> int:
        """Return how many blocks lie on the diagonal of every recurrent matrix, outside of which it is zero."""
        blocks = {n: int(s.arguments[0]) for s in self._structures if s.name == "block_diagonal" for n in s.params}
        return gcd(*(blocks.get(name, 1) for name in self._wanted if name.startswith("R."))) or 1

    def _shapes_of(self, structure: Structure) -> list[Shape]:
        return [self._wanted[name] for name in structure.params]

    def _free(self, structure: Structure) -> dict[str, np.ndarray]:
        return {name: self._params[name] for name in structure.free(self._shapes_of(structure))}

    def draw(self, rng: np.random.Generator, *choices: Mapping[str, str | float]) -> Arrays:
        """Return initial values of what is trained, in float64, by the first of ``choices`` that has a rule for it."""
        usual: dict[str, str | float] = {}
        derived: dict[str, tuple[Structure, Callable[..., np.ndarray]]] = {}
        for structure in self._structures:
            for suffix, rule in RULES[structure.name].initial.items():
                if callable(rule):
                    derived[structure.free_name(suffix)] = structure, rule
                else:
                    usual[structure.free_name(suffix)] = rule
        drawn: Arrays = {}
        factors: dict[str, str] = {}
        for name, shape in self.shapes.items():
            rule = rule_for(name, *choices, usual)
            if name in derived and not any(name in choice for choice in choices):
                structure, function = derived[name]
                drawn[name] = function(*(drawn[n] for n in structure.free(self._shapes_of(structure)) if n in drawn))
            else:
                rule, other = of_another(rule, self.shapes)
                drawn[name] = initial(rule, rng, shape)
                if other is not None:
                    factors[name] = other
        for name, other in factors.items():
            drawn[name] = drawn[name] * drawn[other]
        return drawn

    def weights(self, params: Arrays) -> Arrays:
        """Return what the engine multiplies: the very arrays of ``params``, and others that ``apply`` fills."""
        made = {name for structure in self._structures for name in structure.params}
        self._params = params
        self._weights = {
            name: np.zeros(shape, next(iter(params.values())).dtype) if name in made else params[name]
            for name, shape in self._wanted.items()
        }
        return self._weights

    def apply(self) -> None:
        """Form the structured weights from what is trained."""
        self._made = []
        for structure in self._structures:
            made = values(structure, self._shapes_of(structure), list(self._free(structure).values()))
            for name, value in zip(structure.params, made, strict=True):
                self._weights[name][...] = value
            self._made.append(made)

    def gradients(self, grads: Arrays) -> Arrays:
        """Return the gradients of what is trained from those of what the engine multiplied; others stay as they are."""
        for structure, made in zip(self._structures, self._made, strict=True):
            free = self._free(structure)
            upstream = [grads.pop(name) for name in structure.params]
            found = adjoint(structure, upstream, made, list(free.values()))
            grads |= {n: f.astype(a.dtype) for (n, a), f in zip(free.items(), found, strict=True)}
        return grads
