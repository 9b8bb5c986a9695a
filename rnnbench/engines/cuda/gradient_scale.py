"""Gradients of a backward that multiplies in float16: scaled on their way in, and back on their way out.

Sums are float32, so nothing is lost in them. But a gradient that is rounded to float16 to be multiplied is zero below
2^-25 and infinite from 65520 on. The backward is linear in the gradients that it is given, so all of them are
multiplied by one power of two, which makes the largest between 1/2 and 1, and all results are divided by it: both
exact. A gradient is then off by at most 2^-25 of the largest one that was given, beside its rounding to 11 bits, and
may grow 65520-fold on its way back; where it grows further, that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import frexp

import numpy as np
from numba import cuda

from rnnbench.engines.cuda.arrays import Block, DeviceArray, Held, Stream
from rnnbench.engines.cuda.operations import Operations
from rnnbench.errors import RnnbenchError

_MOST = 120  # doublings: the factor and its inverse are normal numbers of float32


class GradientScale:
    """The scale of one backward's gradients."""

    def __init__(self, operations: Operations, stream: Stream) -> None:
        self._do, self._stream, self._factor = operations, stream, 1.0
        self._overflown: DeviceArray = None

    def up(self, given: Mapping[str, Block], held: Held) -> dict[str, Block]:
        """Return given gradients times the factor, in the call's own memory; waits until the largest is known."""
        largest = cuda.to_device(np.zeros(1, np.float32), stream=self._stream)
        for block in given.values():
            self._do.note_largest(block.flat, largest, self._stream)
        self._stream.synchronize()
        found = float(largest.copy_to_host()[0])
        # What is not finite is refused later.
        self._factor = 2.0 ** max(-_MOST, min(_MOST, -frexp(found)[1])) if 0 < found < np.inf else 1.0
        scaled = {name: held.block(name, tuple(block.array.shape)) for name, block in given.items()}
        for name, block in given.items():
            self._do.scale(block.flat, self._factor, scaled[name].flat, self._stream)
        return scaled

    def down(self, results: Iterable[Block]) -> None:
        """Divide results by the factor where they lie, and note whether one is not finite."""
        self._overflown = cuda.to_device(np.zeros(1, np.int32), stream=self._stream)
        for block in results:
            self._do.note_not_finite(block.flat, self._overflown, 0, self._stream)
            self._do.scale(block.flat, 1.0 / self._factor, block.flat, self._stream)

    def refuse_overflow(self) -> None:
        """Raise RnnbenchError where a gradient was too large for float16, once the device is done."""
        if self._overflown.copy_to_host()[0]:
            raise RnnbenchError(
                "gradients grew beyond the range of float16, 65520 times the largest that was given: take "
                "precision='bfloat16', whose range is that of float32"
            )
