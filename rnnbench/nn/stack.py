"""Layers on top of one another: each reads the whole output sequence of the one below."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from rnnbench.errors import RnnbenchError

Arrays = dict[str, np.ndarray]


class NotFinite(RnnbenchError):
    """Raised where a model's own numbers overflow, so that training can tell divergence from bad input."""


class Recurrent(Protocol):
    """What ``Layer``, ``Stack`` and ``Bidirectional`` have in common, so that each can stand inside the others."""

    params: Arrays

    @property
    def input_size(self) -> int: ...

    @property
    def output_size(self) -> int: ...

    @property
    def dtype(self) -> Any: ...

    def forward(
        self, x: np.ndarray, state: Mapping[str, np.ndarray] | None = None, training: bool = False, outputs: str = "all"
    ) -> tuple[np.ndarray, Arrays]: ...

    def backward(self, dy: np.ndarray, dfinal: Mapping[str, np.ndarray] | None = None) -> Arrays: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def workspace_bytes(self, T: int, B: int, training: bool) -> int: ...


def prefixed(parts: Mapping[str, Mapping[str, np.ndarray]]) -> Arrays:
    """Return one flat dict "part.name" -> the very same arrays."""
    return {f"{part}.{name}": array for part, named in parts.items() for name, array in named.items()}


def unprefixed(argument: str, named: Mapping[str, np.ndarray] | None, parts: Sequence[str]) -> dict[str, Arrays | None]:
    """Return, for each part, its share of the flat dict ``named`` with the prefix taken off (None: nothing given).

    Raises RnnbenchError for a name that belongs to no part; ``argument`` is what the caller calls ``named``.
    """
    shares: dict[str, Arrays | None] = dict.fromkeys(parts)
    for name, array in (named or {}).items():
        part, _, rest = name.partition(".")
        if part not in shares or not rest:
            takes = ", ".join(f"'{known}.<state>'" for known in parts)
            raise RnnbenchError(f"{argument} has no place for {name!r}; its names take the form {takes}")
        share = shares[part] or {}
        share[rest] = array
        shares[part] = share
    return shares


def check_finite(name: str, array: np.ndarray) -> np.ndarray:
    """Return ``array``, or raise NotFinite when a value in it is infinite or NaN."""
    # The sum is finite unless a value is not (or the sum overflows): one fast pass instead of isfinite's array.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum())
    if suspicious and not np.isfinite(array).all():
        raise NotFinite(f"{name} is no longer finite: the weights, or the steps taken, are too large")
    return array


def check_separate(layers: Sequence[Recurrent]) -> None:
    """Raise RnnbenchError unless the layers have one dtype and share no weights."""
    dtypes = [str(np.dtype(layer.dtype)) for layer in layers]
    if len(set(dtypes)) > 1:
        raise RnnbenchError(f"layers must have one dtype, got {', '.join(dtypes)}")
    # A layer keeps what its own backward needs, so the same object cannot stand in two places.
    arrays = [id(array) for layer in layers for array in layer.params.values()]
    if len(set(arrays)) < len(arrays):
        raise RnnbenchError("layers must be separate objects: the same layer, or its weights, was given twice")


class Stack:
    """Run recurrent layers one on top of another.

    ``layers``: bottom first, at least one; each ``input_size`` is the ``output_size`` of the layer below.
    Parameters, states and gradients are named by position: "0.W.i", "1.h", "1.forward.R.i".
    ``params`` holds the layers' own arrays, not copies.
    """

    def __init__(self, layers: Sequence[Recurrent]):
        self.layers: list[Recurrent] = list(layers)
        if not self.layers:
            raise RnnbenchError("layers must hold at least one layer, got none")
        check_separate(self.layers)
        for index, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False), start=1):
            if above.input_size != below.output_size:
                raise RnnbenchError(
                    f"layer {index} takes input_size={above.input_size}, "
                    f"but the layer below gives output_size={below.output_size}"
                )
        self._names = [str(index) for index in range(len(self.layers))]
        self.params: Arrays = prefixed(dict(zip(self._names, (layer.params for layer in self.layers), strict=True)))

    @property
    def input_size(self) -> int:
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        return self.layers[-1].output_size

    @property
    def dtype(self) -> Any:
        return self.layers[0].dtype

    def forward(
        self, x: np.ndarray, state: Mapping[str, np.ndarray] | None = None, training: bool = False, outputs: str = "all"
    ) -> tuple[np.ndarray, Arrays]:
        """Run the sequence ``x`` [T, B, I] through every layer.

        ``state``: initial states by name ("0.h" [B, H]), missing ones are zero. ``outputs``: "all" gives the top
        layer's y [T, B, O], "last" its [B, O]; layers below always hand on every step. Returns (y, final states).
        Raises NotFinite when what one layer hands to the next overflows.
        """
        states = unprefixed("state", state, self._names)
        final: Arrays = {}
        for name, layer in zip(self._names, self.layers, strict=True):
            wanted = outputs if layer is self.layers[-1] else "all"
            if layer is not self.layers[0]:
                check_finite(f"the input of layer {name}", x)
            x, ended = layer.forward(x, states[name], training=training, outputs=wanted)
            final.update({f"{name}.{key}": array for key, array in ended.items()})
        return x, final

    def backward(self, dy: np.ndarray, dfinal: Mapping[str, np.ndarray] | None = None) -> Arrays:
        """Return the gradients of the last ``forward(..., training=True)``.

        ``dy``: shaped like its y; ``dfinal``: gradients with respect to final states, missing ones are zero.
        The dict has an entry for each parameter, for each initial state, and "x" [T, B, I].
        Raises NotFinite when a gradient overflows on its way down.
        """
        dfinals = unprefixed("dfinal", dfinal, self._names)
        grads: Arrays = {}
        for name, layer in zip(reversed(self._names), reversed(self.layers), strict=True):
            part = layer.backward(check_finite(f"the gradient of layer {name}'s output", dy), dfinals[name])
            grads.update({f"{name}.{key}": array for key, array in part.items() if key != "x"})
            dy = part["x"]
        grads["x"] = dy
        return grads

    def freeze(self) -> None:
        """Pack every layer's weights once, for inference."""
        for layer in self.layers:
            layer.freeze()

    def thaw(self) -> None:
        """Let in-place changes of ``params`` be seen again."""
        for layer in self.layers:
            layer.thaw()

    def to_torch(self) -> Any:
        """Return a torch.nn module with these weights (see ``rnnbench.nn.torch_weights.to_torch``)."""
        from rnnbench.nn.torch_weights import to_torch

        return to_torch(self)

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes the layers work in, and those of the sequences handed from layer to layer."""
        handed_on = sum(layer.output_size for layer in self.layers[:-1]) * T * B * np.dtype(self.dtype).itemsize
        return handed_on + sum(layer.workspace_bytes(T, B, training) for layer in self.layers)
