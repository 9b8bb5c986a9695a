"""Launches in numba-cuda's simulator whose blocks run at the same time; by itself it runs one after another.

Each thread of each block is a thread of Python, so that barriers of the grid wait for one another as on a device.
Barriers of a block are Python's, and not a loop that asks all threads where they are: this is many times faster.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from rnnbench.engines.cuda.tiling import Machine

# What the simulator stands for: two blocks, so that barriers have somebody to wait for. Python threads are slow.
MACHINE = Machine(processors=2, shared=227 * 1024, threads=32)


class _Thread(threading.Thread):
    """One thread of one block, with what the simulator asks of it."""

    def __init__(
        self, work: Any, block: Any, index: Any, number: int, barrier: threading.Barrier, failures: list[Exception]
    ) -> None:
        super().__init__(daemon=True)
        self.blockIdx, self.threadIdx, self.thread_id = block, index, number
        self._work, self._barrier, self._failures = work, barrier, failures

    @property
    def abort(self) -> bool:
        """Whether another thread has failed, so that waiting is in vain."""
        return bool(self._failures)

    def syncthreads(self) -> None:
        """Wait for the other threads of the block."""
        self._barrier.wait()

    def run(self) -> None:
        """Run the kernel; the first failure of any thread ends all."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - handed to the launching thread, whatever it is
            self._failures.append(error)
            self._barrier.abort()


def _three(size: int | tuple[int, ...]) -> tuple[int, int, int]:
    sizes = (size,) if isinstance(size, int) else size
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]


def launch_simulated(
    kernel: Any,
    grid: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    shared: int,
    arguments: Sequence[Any],
    together: bool,
) -> None:
    """Run a simulated kernel: ``grid`` blocks of ``threads`` threads, with ``shared`` bytes of dynamic memory each.

    With ``together`` all blocks run at the same time, else one after another.
    """
    from numba.cuda.simulator import kernel as simulated
    from numba.cuda.simulator import kernelapi
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray, FakeWithinKernelCUDAArray

    class Module(kernelapi.FakeCUDAModule):
        """As the simulator's, with shared memory of each block."""

        held: dict[tuple[int, ...], Any]

        @property
        def shared(self) -> Any:
            return self.held[tuple(threading.current_thread().blockIdx)]  # type: ignore[attr-defined]

    blocks, block = _three(grid), _three(threads)
    module = Module(blocks, block, shared)
    places, indices = list(np.ndindex(*blocks)), list(np.ndindex(*block))
    given = [FakeWithinKernelCUDAArray(a) if isinstance(a, FakeCUDAArray) else a for a in arguments]
    failures: list[Exception] = []
    with ExitStack() as stack:
        stack.enter_context(simulated._push_kernel_context(module))
        stack.enter_context(kernelapi.swapped_cuda_module(kernel.fn, module))
        for some in [places] if together else [[place] for place in places]:
            module.held = {place: kernelapi.FakeCUDAShared(shared) for place in some}
            started = []
            for place in some:
                barrier, where = threading.Barrier(len(indices)), kernelapi.Dim3(*place)
                for index in indices:
                    number = index[0] + block[0] * (index[1] + block[1] * index[2])
                    own = kernelapi.Dim3(*index)
                    started.append(_Thread(lambda: kernel.fn(*given), where, own, number, barrier, failures))
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
            if failures:
                raise next((e for e in failures if not isinstance(e, threading.BrokenBarrierError)), failures[0])
