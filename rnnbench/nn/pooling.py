"""From the outputs at every step to one vector for the whole sequence: their mean, or attention over them."""

import math
from typing import ClassVar, Protocol

import numpy as np

from rnnbench.errors import RnnbenchError, positive, unknown
from rnnbench.nn.attention import softmax, softmax_gradient
from rnnbench.nn.initialisers import initial
from rnnbench.nn.stack import Arrays


class Pooling(Protocol):
    """What the ways to pool have in common."""

    params: Arrays
    weights: np.ndarray | None
    """How much each step counted in the last ``forward``, [T, B]; over T they sum to 1."""

    def forward(self, y: np.ndarray) -> np.ndarray: ...

    def backward(self, dpooled: np.ndarray) -> Arrays: ...


class Mean:
    """The mean over all steps: y [T, B, H] -> [B, H]."""

    def __init__(self, size: int, dtype: str = "float32", seed: int = 0):
        self.params: Arrays = {}
        self.weights: np.ndarray | None = None

    @classmethod
    def shapes(cls, size: int) -> dict[str, tuple[int, ...]]:
        """Return no parameters: a mean has none."""
        return {}

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return the mean [B, H] of ``y`` [T, B, H] over its steps."""
        self.weights = np.full(y.shape[:2], 1 / len(y), y.dtype)
        return y.mean(axis=0)

    def backward(self, dpooled: np.ndarray) -> Arrays:
        """Return the gradient "x" [T, B, H] of the outputs that the last ``forward`` pooled."""
        steps = len(_given(self.weights))
        return {"x": np.repeat(dpooled[None] / dpooled.dtype.type(steps), steps, axis=0)}


class _Attention:
    """A mean over all steps with weights softmax(score of each step against the last one).

    ``size``: H of the outputs. ``params``: "W.query", "W.key" [H, H] and further ones of the score.
    """

    further: ClassVar[tuple[str, ...]] = ()

    def __init__(self, size: int, dtype: str = "float32", seed: int = 0):
        self.size = positive("size", size)
        rng = np.random.default_rng(seed)
        self.params: Arrays = {
            name: initial("glorot_uniform" if len(shape) == 2 else "fan_uniform", rng, shape).astype(dtype)
            for name, shape in self.shapes(size).items()
        }
        self.weights: np.ndarray | None = None
        self._saved: tuple[np.ndarray, ...] = ()

    @classmethod
    def shapes(cls, size: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters by name, so that they can be counted before any is made."""
        return {"W.query": (size, size), "W.key": (size, size), **dict.fromkeys(cls.further, (size,))}

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Return the weighted mean [B, H] of ``y`` [T, B, H], which must stay as it is until ``backward``."""
        query = y[-1] @ self.params["W.query"]
        keys = y @ self.params["W.key"]
        scores, kept = self._scores(query, keys)
        self.weights = softmax(scores, axis=0)
        self._saved = (y, query, keys, *kept)
        return np.einsum("tb,tbh->bh", self.weights, y)

    def backward(self, dpooled: np.ndarray) -> Arrays:
        """Return the gradients of ``params``, and "x" [T, B, H] of the outputs that the last ``forward`` pooled."""
        weights = _given(self.weights)
        y, query, keys, *kept = self._saved
        dscores = softmax_gradient(weights, np.einsum("bh,tbh->tb", dpooled, y), axis=0)
        dquery, dkeys, grads = self._score_gradients(dscores, query, keys, *kept)
        dx = weights[:, :, None] * dpooled + dkeys @ self.params["W.key"].T
        dx[-1] += dquery @ self.params["W.query"].T
        flat = (-1, self.size)
        return {
            "W.query": y[-1].T @ dquery,
            "W.key": y.reshape(flat).T @ dkeys.reshape(flat),
            **grads,
            "x": dx,
        }

    def _scores(self, query: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        raise NotImplementedError

    def _score_gradients(
        self, dscores: np.ndarray, query: np.ndarray, keys: np.ndarray, *kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Arrays]:
        raise NotImplementedError


class AdditiveAttention(_Attention):
    """Attention with the score v . tanh(W.query y_T + W.key y_t): the last step asks, every step answers.

    ``size``: H of the outputs. ``params``: "W.query", "W.key" [H, H], "v" [H].
    Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2, with the last output in the place of the decoder's state.
    """

    further = ("v",)

    def _scores(self, query: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        inner = np.tanh(query + keys)
        return inner @ self.params["v"], (inner,)

    def _score_gradients(
        self, dscores: np.ndarray, query: np.ndarray, keys: np.ndarray, *kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Arrays]:
        (inner,) = kept
        dkeys = dscores[:, :, None] * self.params["v"] * (1 - inner * inner)
        return dkeys.sum(axis=0), dkeys, {"v": np.einsum("tb,tbh->h", dscores, inner)}


class DotAttention(_Attention):
    """Attention with the score (W.query y_T) . (W.key y_t) / sqrt(H): the last step asks, every step answers.

    ``size``: H of the outputs. ``params``: "W.query", "W.key" [H, H]. Vaswani et al. 2017, arXiv:1706.03762,
    equation 1.
    """

    def _scores(self, query: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        return np.einsum("bh,tbh->tb", query, keys) * query.dtype.type(1 / math.sqrt(self.size)), ()

    def _score_gradients(
        self, dscores: np.ndarray, query: np.ndarray, keys: np.ndarray, *kept: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Arrays]:
        scaled = dscores * query.dtype.type(1 / math.sqrt(self.size))
        return np.einsum("tb,tbh->bh", scaled, keys), scaled[:, :, None] * query, {}


POOLINGS: dict[str, type[Mean] | type[_Attention]] = {
    "mean": Mean,
    "additive": AdditiveAttention,
    "dot": DotAttention,
}


def make_pooling(name: str, size: int, dtype: str, seed: int) -> Pooling | None:
    """Return the way to pool of this name; None for "last", which takes the output of the last step alone."""
    made = _pooling(name)
    return None if made is None else made(size, dtype, seed)


def pooling_parameters(name: str, size: int) -> int:
    """Return the number of parameters of the pooling of this name over outputs of ``size`` units."""
    made = _pooling(name)
    return 0 if made is None else sum(math.prod(shape) for shape in made.shapes(size).values())


def _pooling(name: str) -> type[Mean] | type[_Attention] | None:
    if name == "last":
        return None
    if name not in POOLINGS:
        raise unknown("pooling", name, ["last", *POOLINGS])
    return POOLINGS[name]


def _given(weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        raise RnnbenchError("backward needs a forward before it")
    return weights
