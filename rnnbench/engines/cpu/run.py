"""A program prepared for the CPU: its memory, its plans, and the calls that run them."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np

from rnnbench.engines import Arrays
from rnnbench.engines.cpu import cache
from rnnbench.engines.cpu.backward import Backward
from rnnbench.engines.cpu.forward import Forward
from rnnbench.engines.cpu.host import host
from rnnbench.engines.cpu.plan import Packed, address, padded
from rnnbench.engines.cpu.threads import launch
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.tiles import operand_names, saved_names, slot_names, transposed_names

# Floating-point operations below which a call runs in the caller's thread: about the cost of waking the others.
SERIAL_FLOPS = 2_000_000


class CpuKernel:
    """One program, dtype, input size I and hidden size H, with the workspace of its latest shape."""

    def __init__(self, program: Program, dtype: str, input_size: int, hidden: int, threads: int) -> None:
        self.program, self.dtype, self.input_size, self.hidden = program, np.dtype(dtype), input_size, hidden
        self.threads = threads
        self.lanes = host().lanes(self.dtype.itemsize)
        self.width = padded(hidden, self.lanes)
        self.slots, self.saved = slot_names(program), saved_names(program)
        self.operands, self.transposed = operand_names(program), transposed_names(program)
        self.packed = Packed(program, input_size, hidden, self.dtype, self.lanes)
        self._forward: dict[bool, Forward] = {}  # by training: the plan of the latest shape
        self._backward: Backward | None = None
        self._frozen: Arrays | None = None  # biases and per-unit parameters while the weights stay packed

    def module(self, name: str) -> ModuleType:
        """Return one of the shared kernels' modules for this dtype."""
        return importlib.import_module(f"{cache.shared_kernels(self.dtype.name).__name__}.{name}")

    @property
    def cell(self) -> ModuleType:
        """The module of the cell's emitted tiles."""
        return cache.cell_kernels(self.program, self.dtype.name)

    def threads_for(self, T: int, B: int) -> int:
        """Return the number of threads for a call: they split the batch, and small calls do not pay for waking them."""
        flops = T * B * self.program.flops_per_step(self.input_size, self.hidden, pointwise=True)
        return 1 if flops < SERIAL_FLOPS else min(self.threads, B)

    def launch(self, phases: np.ndarray, plan: np.ndarray, threads: int) -> None:
        """Run the phases of a plan on so many threads."""
        launch(self.module("launch"), phases, address(plan), threads)

    def checked(self, params: Arrays) -> Arrays:
        """Return the parameters after checking that each is still an array the kernels can read."""
        for name in self.program.params:
            shape = self.program.shape(name, self.input_size, self.hidden)
            value = params.get(name)
            if (
                not isinstance(value, np.ndarray)
                or value.shape != shape
                or value.dtype != self.dtype
                or not value.flags.c_contiguous
            ):
                raise RnnbenchError(f"params[{name!r}] must be a C-contiguous {self.dtype.name} array {list(shape)}")
        return params

    def forward(
        self, params: Arrays, x: np.ndarray, state: Arrays, training: bool, last_only: bool
    ) -> tuple[np.ndarray, Arrays]:
        """Run all steps (see ``rnnbench.engines.Kernel``)."""
        T, B, _ = x.shape
        shape = (T, B, last_only)
        plan = self._forward.get(training)
        frozen = None if training else self._frozen
        if plan is None or plan.shape != shape:
            self._forward[training] = plan = Forward(self, T, B, last_only, training=training)
            if frozen is not None:
                plan.load(frozen)
        if frozen is None:
            plan.load(self.checked(params))
        return plan.run(x, state, params if frozen is None else None)

    def backward(self, params: Arrays, x: np.ndarray, dy: np.ndarray, dfinal: Arrays) -> Arrays:
        """Run all steps backwards (see ``rnnbench.engines.Kernel``)."""
        forward = self._forward[True]
        if self._backward is None or self._backward.forward is not forward:
            self._backward = Backward(self, forward)
        return self._backward.run(self.checked(params), x, dy, dfinal)

    def freeze(self, params: Arrays) -> None:
        """Pack the weights for inference, and keep a copy of the vectors."""
        self._frozen = {name: value.copy() for name, value in self.checked(params).items() if name[0] in "bp"}
        plan = Forward(self, 1, 1, False, training=False)
        plan.load(self._frozen)
        plan.run(np.zeros((1, 1, self.input_size), self.dtype), {}, params)
        self._forward[False] = plan

    def thaw(self) -> None:
        """Pack the weights again in every call."""
        self._frozen = None

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes of all arrays that a forward, and in training a backward, of this shape holds."""
        forward = Forward(self, T, B, False, training=training)
        total = forward.nbytes + self.packed.nbytes(training)
        return total + (Backward(self, forward).nbytes if training else 0)
