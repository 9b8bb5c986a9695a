"""Training in segments on a GPU: the forward keeps the states of every k-th step, the backward computes the rest again.

A third more work, and memory for one segment and the states between segments (Chen et al. 2016, arXiv:1604.06174, with
one level).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cuda.arrays import DeviceArray, default_stream, device_array, free_bytes, told
from rnnbench.engines.cuda.run import CudaKernel
from rnnbench.errors import RnnbenchError


def checkpointed(kernel: CudaKernel, steps: int | None) -> CudaKernel | CheckpointedKernel:
    """Return a kernel that trains in segments of ``steps`` steps, or, where that is None, the kernel itself."""
    return kernel if steps is None else CheckpointedKernel(kernel, steps)


class CheckpointedKernel:
    """A kernel that trains in segments of ``steps`` steps (``rnnbench.engines.Kernel``). Inference is the kernel's own.

    Inputs, outputs and their gradients lie on the device for the whole sequence, all else for one segment.
    """

    def __init__(self, kernel: CudaKernel, steps: int) -> None:
        self.kernel, self.steps, self.loop = kernel, steps, kernel.loop
        self._starts: list[dict[str, DeviceArray]] = []  # the states before each segment of the last training forward
        self._x: DeviceArray = None
        self._last_only = False

    def on_device(self, name: str, array: Any) -> DeviceArray | None:
        """Return an array that lies on the device as the engine reads it, without a copy; None for any other."""
        return self.kernel.on_device(name, array)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """Return a copy of an array on the device."""
        return self.kernel.to_device(array)

    def freeze(self, params: Arrays) -> None:
        """Copy the weights to the device once; until ``thaw`` later changes are not seen."""
        self.kernel.freeze(params)

    def thaw(self) -> None:
        """Copy the weights again in every call."""
        self.kernel.thaw()

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes of device memory that a forward, and in training a backward, of this shape holds."""
        if not training:
            return self.kernel.workspace_bytes(T, B, False)
        steps = min(self.steps, T)
        again = self.kernel.workspace_bytes(steps, B, True) + self.kernel.workspace_bytes(steps, B, False)
        return again + self._outside(T, B)

    def _outside(self, T: int, B: int) -> int:
        """Return the bytes of what lies on the device for all segments."""
        layout = self.kernel.layout
        whole = prod((T, B, layout.input_size)) + prod(layout.output(T, B))
        states = sum(prod(layout.state(name, B)) for name in layout.program.states)
        return (2 * whole + -(-T // self.steps) * states) * layout.dtype.itemsize

    def forward(
        self, params: Arrays, x: Any, state: Mapping[str, Any], training: bool, last_only: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Run all steps (see ``rnnbench.engines.Kernel``); in training keep the states before each segment."""
        kernel = self.kernel
        if not training:
            return kernel.forward(params, x, state, False, last_only)
        kernel.require_finite({"x": x} | {f"state {name}": value for name, value in state.items()})
        T, B, _ = x.shape
        self._starts, self._last_only = [], last_only
        with told():
            needed, free = self._outside(T, B), free_bytes()
            if needed > free:
                raise RnnbenchError(
                    f"engine {kernel.engine!r} needs {needed / 1e9:.2f} GB on the GPU for T={T}, B={B} beside its "
                    f"segments of {self.steps} steps, and {free / 1e9:.2f} GB are free: take a smaller T or B"
                )
            self._x = self._there(x)
            y = None if last_only else device_array(kernel.layout.output(T, B), kernel.dtype)
            now, last = {name: self._there(value) for name, value in state.items()}, None
        for start in range(0, T, self.steps):
            end = min(start + self.steps, T)
            self._starts.append(now)
            last, now = kernel.forward(params, self._x[start:end], now, False, last_only)
            if y is not None:
                with told():
                    y[start:end].copy_to_device(last)
        return self._handed_out({"y": last if y is None else y, **now}, x)

    def backward(self, params: Arrays, x: Any, dy: Any, dfinal: Mapping[str, Any]) -> dict[str, Any]:
        """Run all segments backwards, each after its own forward (see ``rnnbench.engines.Kernel``)."""
        kernel, (T, B, _) = self.kernel, x.shape
        kernel.require_finite({"dy": dy} | {f"dfinal {name}": value for name, value in dfinal.items()})
        with told():
            dx = device_array(x.shape, kernel.dtype)
            down, later = self._there(dy), {name: self._there(value) for name, value in dfinal.items()}
            nothing = self.to_device(np.zeros(kernel.layout.output(1, B)[1:], kernel.dtype))
        total: Arrays = {}
        for start, state in reversed(list(zip(range(0, T, self.steps), self._starts, strict=True))):
            end = min(start + self.steps, T)
            part = self._x[start:end]
            kernel.forward(params, part, state, True, self._last_only)
            here = (down if end == T else nothing) if self._last_only else down[start:end]
            grads = kernel.backward(params, part, here, later)
            with told():
                dx[start:end].copy_to_device(grads.pop("x"))
            later = {name: grads.pop(name) for name in kernel.program.states}
            total = grads if not total else {name: total[name] + grads[name] for name in total}
        self._starts, self._x = [], None
        of_x, of_states = self._handed_out({"y": dx, **later}, x)
        return {**total, "x": of_x, **of_states}

    def _there(self, array: Any) -> DeviceArray:
        """Return an array on the device."""
        return self.to_device(array) if isinstance(array, np.ndarray) else array

    def _handed_out(self, results: dict[str, Any], x: Any) -> tuple[Any, dict[str, Any]]:
        """Return the result "y", and the others, where x lies; copies between segments are then complete."""
        with told():
            if isinstance(x, np.ndarray):
                results = {name: array.copy_to_host() for name, array in results.items()}
            else:
                default_stream().synchronize()
        return results.pop("y"), results
