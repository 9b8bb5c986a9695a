"""What the conformance tests ask of a layer: weights, inputs, states and upstream gradients drawn from a seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import rnnbench
from rnnbench import Layer

# Engines that can run here; test_conformance.py reports the others.
ENGINES = [name for name, reason in rnnbench.engines().items() if reason is None]

Arrays = dict[str, np.ndarray]
Sizes = tuple[int, int, int, int]  # T, B, I, H


@dataclass(frozen=True)
class Problem:
    """One sequence and its upstream gradients: x [T, B, I], dy [T, B, H], state and dfinal by name [B, H]."""

    sizes: Sizes
    x: np.ndarray
    state: Arrays
    dy: np.ndarray
    dfinal: Arrays


def draw(layer: Layer, seed: int = 0) -> None:
    """Give ``layer`` new weights, in place, of a recurrence that does not expand.

    Recurrent matrices are orthogonal, per-unit weights lie in [-1, 1], input weights keep the size of the input, and
    no two biases are alike.
    """
    rng = np.random.default_rng(seed)
    for name, array in layer.params.items():
        if name.startswith("R."):
            q, r = np.linalg.qr(rng.normal(size=array.shape))
            array[...] = q * np.sign(np.diag(r))
        elif name.startswith("W."):
            array[...] = rng.normal(size=array.shape) / np.sqrt(layer.input_size)
        else:
            array[...] = rng.uniform(-1.0, 1.0, array.shape)


def pose(layer: Layer, T: int, B: int, seed: int = 1) -> Problem:
    """Draw a problem for ``layer``."""
    rng = np.random.default_rng(seed)
    units = layer.hidden_size

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(layer.dtype)

    return Problem(
        sizes=(T, B, layer.input_size, units),
        x=normal(T, B, layer.input_size),
        state={name: normal(B, units) for name in layer.states},
        dy=normal(T, B, units),
        dfinal={name: normal(B, units) for name in layer.states},
    )


def double(arrays: Arrays) -> Arrays:
    """Return the arrays in float64."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def exact(layer: Layer, problem: Problem, **hyper: Any) -> tuple[np.ndarray, Arrays, Arrays]:
    """Return y, final states and gradients of the reference engine in float64 for the layer's own weights."""
    reference = Layer(layer.cell, layer.input_size, layer.hidden_size, engine="reference", dtype="float64", **hyper)
    for name, array in layer.params.items():
        reference.params[name][...] = array
    y, final = reference.forward(problem.x.astype(float), double(problem.state), training=True)
    return y, final, reference.backward(problem.dy.astype(float), double(problem.dfinal))
