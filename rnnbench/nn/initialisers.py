"""Initial values of parameters, chosen by name: "identity", "normal(0.001)", "uniform(-1, 1)", or a number."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from rnnbench.errors import RnnbenchError, unknown

Shape = tuple[int, ...]

DEFAULTS: dict[str, str | float] = {"W": "glorot_uniform", "R": "orthogonal", "b": 0.0, "p": "fan_uniform"}


def zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape)


def constant(rng: np.random.Generator, shape: Shape, value: float) -> np.ndarray:
    """Return ``value`` everywhere."""
    return np.full(shape, value)


def normal(rng: np.random.Generator, shape: Shape, deviation: float = 1.0) -> np.ndarray:
    """Draw from a normal distribution of mean 0."""
    return rng.normal(0.0, deviation, shape)


def uniform(rng: np.random.Generator, shape: Shape, low: float, high: float) -> np.ndarray:
    """Draw uniformly from [low, high)."""
    return rng.uniform(low, high, shape)


def fan_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw uniformly from +-1/sqrt(H), as torch.nn does for all recurrent parameters."""
    return rng.uniform(-1.0, 1.0, shape) / np.sqrt(shape[-1])


def glorot_uniform(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw uniformly from +-sqrt(6 / (rows + columns)) (Glorot and Bengio 2010)."""
    return rng.uniform(-1.0, 1.0, shape) * np.sqrt(6.0 / sum(shape))


def orthogonal(rng: np.random.Generator, shape: Shape, gain: float = 1.0) -> np.ndarray:
    """Draw an orthogonal matrix uniformly (Saxe et al. 2013, arXiv:1312.6120)."""
    q, r = np.linalg.qr(rng.normal(size=shape))
    return gain * q * np.sign(np.diag(r))


def identity(rng: np.random.Generator, shape: Shape, gain: float = 1.0) -> np.ndarray:
    """Return ``gain`` times the identity matrix (Le et al. 2015, arXiv:1504.00941)."""
    return gain * np.eye(shape[0])


INITIALISERS: dict[str, Callable[..., np.ndarray]] = {
    f.__name__: f for f in (zeros, constant, normal, uniform, fan_uniform, glorot_uniform, orthogonal, identity)
}


def initial(rule: str | float, rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Return a float64 array of ``shape`` made by ``rule``: a number, or a name with arguments in parentheses."""
    if isinstance(rule, (int, float)) and not isinstance(rule, bool):
        if not np.isfinite(rule):
            raise RnnbenchError(f"an initial value must be finite, got {rule!r}")
        return constant(rng, shape, float(rule))
    match = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", rule) if isinstance(rule, str) else None
    if match is None:
        raise RnnbenchError(f"an initialiser is a number or a name such as 'normal(0.1)', got {rule!r}")
    name, arguments = match.group(1), match.group(2) or ""
    if name not in INITIALISERS:
        raise unknown("initialiser", name, INITIALISERS)
    if name in ("orthogonal", "identity") and (len(shape) != 2 or shape[0] != shape[1]):
        raise RnnbenchError(f"initialiser {name!r} makes square matrices, the parameter has shape {list(shape)}")
    try:
        numbers = [float(part) for part in arguments.split(",") if part.strip()]
        return INITIALISERS[name](rng, shape, *numbers)
    except (TypeError, ValueError) as error:
        raise RnnbenchError(f"initialiser {rule!r}: wrong arguments ({error})") from error


def rule_for(param: str, *choices: Mapping[str, str | float]) -> str | float:
    """Return the rule for a parameter: the first of ``choices`` that names it ("R.h"), else its kind ("R")."""
    for choice in choices:
        for key in (param, param[0]):
            if key in choice:
                return choice[key]
    return DEFAULTS[param[0]]
