"""The operations over units of one stage: the table that kernels/over_units.py runs, in one launch a step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import cuda

from rnnbench.engines.cuda.memory import Layout, Memory
from rnnbench.engines.cuda.products import launch
from rnnbench.engines.cuda.source import shared_module
from rnnbench.lang import ops
from rnnbench.lang.ops import Node
from rnnbench.lang.over_units import OverUnits
from rnnbench.lang.tiles import Stream

OPERATORS = (*ops.OVER_UNITS, *ops.OF_MATRICES)


class UnitOperations:
    """Sums over units, and what is done with matrix states, of one stage and B rows."""

    def __init__(self, layout: Layout, names: OverUnits, nodes: Iterable[Node], B: int) -> None:
        kernels, shapes = (shared_module(layout.dtype.name, name) for name in ("over_units", "launch"))
        kinds = {
            ops.TOTAL: kernels.IS_TOTAL, ops.MEAN: kernels.IS_MEAN, ops.READ: kernels.IS_READ,
            ops.LEFT: kernels.IS_LEFT, ops.ROWDOT: kernels.IS_ROWDOT, ops.UPDATE: kernels.IS_UPDATE,
        }  # fmt: skip

        def place(stream: Stream | None) -> tuple[int, ...]:
            """Return the columns of a place: array, start, from row to row, from step to step, steps kept, later."""
            if stream is None:
                return kernels.NOWHERE, 0, 0, 0, 1, 0
            if stream.kind in ("argument", "result"):
                found, width = layout.vector(stream, "carried"), layout.stride * len(layout.vectors["carried"])
                return kernels.IN_CARRIED, found.start, width, 0, 1, 0
            assert stream.name in layout.program.matrices
            start, width = layout.matrix_places[stream.name], layout.matrix_values
            later = int(stream.kind in ("next", "upstream"))
            if stream.kind in ("state", "next"):
                return kernels.IN_MATRICES, start, width, B * width, 0, later
            return kernels.IN_D_MATRICES, start, width, B * width, 2, later

        rows = [(kinds[node.op], heads, streams) for node in nodes for heads, streams in names.rows(node)]
        table = [
            (kind, heads, layout.program.units_of_a_head(heads, layout.hidden), *(n for s in streams for n in place(s)))
            for kind, heads, streams in rows
        ]
        self._table = cuda.to_device(np.array(table, dtype=np.int64))
        self._kernel, self._B = kernels.over_units, B
        most = max(heads for _, heads, _ in rows), max(row[kernels.EACH] for row in table)
        self._blocks, self._threads = shapes.over_heads(B * most[0], most[1])
        self._shared = self._threads * layout.dtype.itemsize

    def run(self, memory: Memory, t: int) -> None:
        """Run the operations at step t."""
        flat = memory.flat
        # The forward has no gradients of matrices, and no operation of it has a place there.
        arrays = flat["carried"], flat["matrices"], flat.get("d_matrices", flat["matrices"])
        kept = memory.arrays["matrices"].shape[0]
        kernel = launch(self._kernel, self._blocks, self._threads, memory.stream, self._shared)
        kernel(self._table, *arrays, t, kept, self._B)
