"""What is launched besides the time loop: the kernels of kernels/vectors.py, with their shapes of launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnbench.engines.cuda.arrays import DeviceArray, Stream
from rnnbench.engines.cuda.products import launch
from rnnbench.engines.cuda.source import shared_module


class Operations:
    """Operations on blocks and flat arrays of one dtype, started on a stream."""

    def __init__(self, dtype: str) -> None:
        self._kernels, self._shapes = shared_module(dtype, "vectors"), shared_module(dtype, "launch")

    def _ready(self, name: str, shape: tuple[Any, Any], stream: Stream) -> Callable[..., None]:
        return launch(getattr(self._kernels, name), shape[0], shape[1], stream)

    def put(self, source: DeviceArray, block: DeviceArray, step: int, place: tuple[int, int], stream: Stream) -> None:
        """Copy ``source`` [B, n] to ``place`` of a step of ``block`` [steps, B, vectors, values]: (vector, value)."""
        shape = self._shapes.over_vectors(*source.shape)
        self._ready("put", shape, stream)(source, block, step, *place)

    def take(self, block: DeviceArray, step: int, place: tuple[int, int], target: DeviceArray, stream: Stream) -> None:
        """Copy ``place`` of a step of ``block`` [steps, B, vectors, values], (vector, value), to ``target`` [B, n]."""
        shape = self._shapes.over_vectors(*target.shape)
        self._ready("take", shape, stream)(block, step, *place, target)

    def repeat(self, pattern: DeviceArray, target: DeviceArray, stream: Stream) -> None:
        """Fill flat ``target`` with flat ``pattern``, again and again."""
        self._ready("repeat", self._shapes.over_values(target.size), stream)(pattern, target)

    def clear(self, target: DeviceArray, stream: Stream) -> None:
        """Fill flat ``target`` with zeros."""
        self._ready("clear", self._shapes.over_values(target.size), stream)(target)

    def sum_rows(self, block: DeviceArray, totals: DeviceArray, stream: Stream) -> None:
        """Sum ``block`` [1, B, vectors, H] over its rows to ``totals`` [vectors, H]."""
        shape = self._shapes.over_vectors(*totals.shape)
        self._ready("sum_rows", shape, stream)(block, totals)

    def note_not_finite(self, values: DeviceArray, found: DeviceArray, which: int, stream: Stream) -> None:
        """Set ``found[which]`` where one of flat ``values`` is infinite or not a number."""
        shape = self._shapes.over_values(values.size)
        self._ready("note_not_finite", shape, stream)(values, found, which)

    def note_largest(self, values: DeviceArray, found: DeviceArray, stream: Stream) -> None:
        """Raise ``found[0]`` to the largest size of flat ``values``."""
        self._ready("note_largest", self._shapes.over_values(values.size), stream)(values, found)

    def scale(self, source: DeviceArray, factor: float, target: DeviceArray, stream: Stream) -> None:
        """Set flat ``target`` to ``factor`` times flat ``source``, which may be the same array."""
        shape = self._shapes.over_values(target.size)
        self._ready("scale", shape, stream)(source, self._kernels.constant(factor), target)
