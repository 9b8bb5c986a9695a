"""Limits of the machine that take turns with contenders, so that a row can say what percent of them it reached.

``"limit.gemm"`` is NumPy's product of two 2048 × 2048 matrices, ``"limit.fma"`` multiply-adds in registers. They
compute no cell: what they return is not checked, and a call of theirs has ``limit_flops`` operations at any shape.
"""

from collections.abc import Callable
from typing import NoReturn

import numpy as np

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.measure.limits import GEMM_SIZE, Gemm, MultiplyAdds
from rnnbench.peers import Workload

PREFIX = "limit."
GEMM, FMA = f"{PREFIX}gemm", f"{PREFIX}fma"
LIMITS = (GEMM, FMA)
# Of one thread and call, some 50 to 100 ms (see BURST_SECONDS); a multiple of what all pieces' rounds do at any width.
_FMA_FLOPS = 3 << 31


def is_limit(contender: str) -> bool:
    """Return whether a contender is a limit of the machine, which computes no cell."""
    return contender.startswith(PREFIX)


def limit_flops(contender: str, threads: int) -> int:
    """Return the floating-point operations of one call of a limit on so many threads."""
    limit = contender.partition("#")[0]
    if limit not in LIMITS:
        raise unknown("limit", contender, LIMITS)
    return 2 * GEMM_SIZE**3 if limit == GEMM else threads * _FMA_FLOPS


class PreparedLimit:
    """A limit behind the protocol of contenders; only ``timed`` has a meaning."""

    def __init__(self, contender: str, dtype: str, threads: int) -> None:
        self._contender, self._threads = contender, threads
        flops = limit_flops(contender, threads)
        if contender == GEMM:
            self._probe, self._rounds = Gemm(dtype, GEMM_SIZE), 1
        else:
            self._probe = MultiplyAdds(dtype)
            self._rounds = flops // threads // self._probe.flops_per_round

    def forward(self, x: np.ndarray) -> NoReturn:
        raise RnnbenchError(f"{self._contender} computes no cell")

    def training(self, x: np.ndarray, dy: np.ndarray) -> NoReturn:
        self.forward(x)

    def timed(self, x: np.ndarray, dy: np.ndarray) -> Callable[[], object]:
        return lambda: self._probe.run(self._threads, self._rounds)


class LimitAdapter:
    """A limit as a contender."""

    def __init__(self, contender: str) -> None:
        limit_flops(contender, 1)  # says so of a name that is none
        self._contender = contender

    def unavailable_reason(self) -> str | None:
        return None

    def supports(self, cell: str, training: bool) -> str | None:
        return None

    def prepare(self, work: Workload) -> PreparedLimit:
        return PreparedLimit(self._contender, work.dtype, work.threads)
