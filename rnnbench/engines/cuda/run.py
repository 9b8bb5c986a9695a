"""A program prepared for a GPU: all of a call but the time loop, which each engine brings."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numba import cuda

from rnnbench.engines import Arrays, require_finite, require_parameters
from rnnbench.engines.cuda.arrays import (
    Block,
    DeviceArray,
    Held,
    Stream,
    default_stream,
    device_array,
    free_bytes,
    on_device,
    own_stream,
    told,
)
from rnnbench.engines.cuda.gradient_scale import GradientScale
from rnnbench.engines.cuda.memory import Layout, Loop, Memory
from rnnbench.engines.cuda.operations import Operations
from rnnbench.engines.cuda.outside import Outside
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.tiles import affine_of, slot_names


class CudaKernel:
    """One program, dtype, input size I and hidden size H (``rnnbench.engines.Kernel``), run by an engine's time loop.

    Where x lies on the device, so do y, the final states, and the gradients of x and of states; else all are NumPy
    arrays. Parameters and their gradients are NumPy arrays. A call ends when its results are complete: it waits for the
    device, and so can say that a value was not finite. With a ``precision``, "tf32", "float16" or "bfloat16", cuBLAS
    may round values to it before it multiplies them.
    """

    def __init__(
        self,
        engine: str,
        program: Program,
        dtype: str,
        input_size: int,
        hidden: int,
        loop: Loop,
        precision: str | None = None,
    ) -> None:
        self.engine, self.program, self.loop, self.precision = engine, program, loop, precision
        self.dtype, self.input_size, self.hidden = np.dtype(dtype), input_size, hidden
        self.layout = Layout(program, self.dtype, input_size, hidden)
        self._do, self._outside = Operations(dtype), Outside(self.layout, precision)
        self._weights = Held(self.dtype)
        self._held = {training: Held(self.dtype) for training in (False, True)}
        self._memory: Memory | None = None  # of the training forward that the next backward follows
        self._frozen = False

    def on_device(self, name: str, array: Any) -> DeviceArray | None:
        """Return an array that lies on the device as the engine reads it, without a copy; None for any other."""
        with told():
            return on_device(name, array)

    def to_device(self, array: np.ndarray) -> DeviceArray:
        """Return a copy of an array on the device."""
        with told():
            return cuda.to_device(array)

    def require_finite(self, given: Mapping[str, Any]) -> None:
        """Raise RnnbenchError that names the first value that is not finite, of arrays named as "x" or "state h"."""
        with told():
            stream = self._stream_of(given)
            held = Held(self.dtype)
            found = self._check({name: held.bring(name, array, stream) for name, array in given.items()}, stream)
            stream.synchronize()
        self._refuse(given, found)

    def freeze(self, params: Arrays) -> None:
        """Copy the weights to the device once; until ``thaw`` later changes are not seen."""
        with told():
            self._upload(params, own_stream())
            own_stream().synchronize()
        self._frozen = True

    def thaw(self) -> None:
        """Copy the weights again in every call."""
        self._frozen = False

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes of device memory that a forward, and in training a backward, of this shape holds.

        Copies of host arrays on the device count, as do the weights and their gradients.
        """
        layout, loop = self.layout, self.loop
        chunk = loop.chunk(T, B, training)
        shapes = [layout.weights, layout.forward(T, B, chunk, training), layout.copies(T, B, training)]
        if training:
            shapes += [layout.backward(B), layout.gradients]
        return layout.nbytes(*shapes) + loop.workspace_bytes(T, B, training)

    def forward(
        self, params: Arrays, x: Any, state: Mapping[str, Any], training: bool, last_only: bool
    ) -> tuple[Any, dict[str, Any]]:
        """Run all steps (see ``rnnbench.engines.Kernel``)."""
        with told():
            return self._forward(params, x, state, training, last_only)

    def _forward(
        self, params: Arrays, x: Any, state: Mapping[str, Any], training: bool, last_only: bool
    ) -> tuple[Any, dict[str, Any]]:
        T, B, _ = x.shape
        given = {"x": x} | {f"state {name}": value for name, value in state.items()}
        stream = self._stream_of(given)
        memory, held = self._prepared(T, B, training, stream), self._held[training]
        if training or not self._frozen:
            self._upload(params, stream)
        for name, shape in self.layout.weights.items():
            memory.add(name, self._weights.block(name, shape))
        brought = {name: held.bring(name, value, stream) for name, value in given.items()}
        found = self._check(brought, stream)
        memory.add("x", brought["x"])
        results, layout = _Results(held, stream, isinstance(x, np.ndarray)), self.layout
        memory.add("y", results.new("y", layout.output(1 if last_only else T, B)))
        names = self.program.states
        self._start(memory, {name: brought[f"state {name}"] for name in state}, stream)
        chunk = memory.arrays["slots"].shape[0] if self.layout.vectors["slots"] else T
        for start in range(0, T, chunk):
            steps = min(chunk, T - start)
            if self.layout.vectors["slots"]:
                self._do.repeat(memory.flat["biases"], memory.flat["slots"], stream)
                self._outside.project(memory, start, steps)
            self.loop.forward(memory, start, steps)
        for name in names:
            final, (block, place) = results.new(f"final {name}", layout.state(name, B)), layout.state_place(name)
            kept = memory.arrays[block]
            self._do.take(kept, T % kept.shape[0], place, _rows(final), stream)
        got = results.complete()
        self._refuse(given, found)
        if training:
            self._memory = memory
        y = got.pop("y")
        return y.reshape(B, y.shape[2]) if last_only else y, {name: got[f"final {name}"] for name in names}

    def _start(self, memory: Memory, state: Mapping[str, Block], stream: Stream) -> None:
        """Set the states before the first step: zero where none is given."""
        for block in ("states", "matrices") if self.program.matrices else ("states",):
            _, B, vectors, values = memory.arrays[block].shape
            self._do.clear(memory.flat[block][: B * vectors * values], stream)
        for name, given in state.items():
            block, place = self.layout.state_place(name)
            self._do.put(_rows(given), memory.arrays[block], 0, place, stream)

    def backward(self, params: Arrays, x: Any, dy: Any, dfinal: Mapping[str, Any]) -> dict[str, Any]:
        """Run all steps backwards (see ``rnnbench.engines.Kernel``), with the weights and x of the forward."""
        with told():
            return self._backward(x, dy, dfinal)

    def _backward(self, x: Any, dy: Any, dfinal: Mapping[str, Any]) -> dict[str, Any]:
        memory, held, layout = self._memory, self._held[True], self.layout
        assert memory is not None
        self._memory = None
        T, B, names = memory.T, memory.B, self.program.states
        given = {"dy": dy} | {f"dfinal {name}": value for name, value in dfinal.items()}
        memory.stream = stream = self._stream_of({"x": x} | given)
        for name, shape in (layout.backward(B) | layout.gradients).items():
            memory.add(name, held.block(name, shape))
        brought = {name: held.bring(name, value, stream) for name, value in given.items()}
        found = self._check(brought, stream)
        scale = GradientScale(self._do, stream) if self.precision == "float16" else None
        if scale is not None:
            brought = scale.up(brought, held)
        flat_dy = brought["dy"].flat
        memory.add("dy", Block(flat_dy, flat_dy.reshape(*layout.output(flat_dy.size // prod(layout.output(1, B)), B))))
        for block in ("d_states", "d_matrices", "d_units"):
            self._do.clear(memory.flat[block], stream)
        for name in dfinal:
            block, place = layout.state_place(name)
            self._do.put(_rows(brought[f"dfinal {name}"]), memory.arrays[f"d_{block}"], T % 2, place, stream)
        self.loop.backward(memory)
        results = _Results(held, stream, isinstance(x, np.ndarray))
        memory.add("dx", results.new("dx", (T, B, self.input_size)))
        self._outside.gradients(memory)
        if layout.vectors["d_units"]:
            self._do.sum_rows(memory.arrays["d_units"], memory.arrays["totals"], stream)
        for name in names:
            into, (block, place) = results.new(f"d_state {name}", layout.state(name, B)), layout.state_place(name)
            self._do.take(memory.arrays[f"d_{block}"], 0, place, _rows(into), stream)
        if scale is not None:
            scale.down([*results.blocks(), *(memory.block(name) for name, of in layout.gradients.items() if of[0])])
        of_params = {
            name: held.download(name, memory.block(name), stream)
            for name, shape in layout.gradients.items()
            if shape[0]
        }
        got = results.complete()
        self._refuse({"dy": dy} | given, found)
        if scale is not None:
            scale.refuse_overflow()
        grads = self._named(of_params)
        return {**grads, "x": got["dx"], **{name: got[f"d_state {name}"] for name in names}}

    def _named(self, found: Mapping[str, np.ndarray]) -> Arrays:
        """Return new arrays of the gradients of the parameters, by name."""
        layout, totals = self.layout, [s.name for s in self.layout.vectors["d_units"]]
        grads = {}
        for name in self.program.params:
            if name[0] in "WR":
                grads[name] = layout.of_weight(name, found[f"d_{name[0]}"]).copy()
            elif name in totals:
                grads[name] = found["totals"][totals.index(name), : layout.shape(name)[0]].copy()
            else:
                grads[name] = np.zeros(layout.shape(name), self.dtype)
        return grads

    def _prepared(self, T: int, B: int, training: bool, stream: Stream) -> Memory:
        """Return the memory of a forward, after a look whether the device has room for it."""
        self._memory = None
        held = self._held[training]
        shapes = self.layout.forward(T, B, self.loop.chunk(T, B, training), training)
        wanted = self.layout.weights | shapes | self.layout.copies(T, B, training)
        if training:
            wanted |= self.layout.backward(B) | self.layout.gradients
        if any(held.shapes.get(name) != shape for name, shape in shapes.items()):
            held.keep(wanted)
            self._require_room(T, B, training, held)
        memory = Memory(T, B, training, stream)
        for name, shape in shapes.items():
            memory.add(name, held.block(name, shape))
        return memory

    def _require_room(self, T: int, B: int, training: bool, held: Held) -> None:
        needed = self.workspace_bytes(T, B, training) - self.layout.nbytes(held.shapes, self._weights.shapes)
        if needed > free_bytes():
            self._held[not training].keep({})  # what calls of the other kind have left
        free = free_bytes()
        if needed > free:
            sizes = f"T={T}, B={B}, I={self.input_size}, H={self.hidden}"
            raise RnnbenchError(
                f"engine {self.engine!r} needs {needed / 1e9:.2f} GB on the GPU for {sizes} in "
                f"{'training' if training else 'inference'}, and {free / 1e9:.2f} GB are free: take a smaller T or B"
            )

    def _upload(self, params: Arrays, stream: Stream) -> None:
        """Copy the weights to the device."""
        require_parameters(self.program, params, self.dtype, self.input_size, self.hidden)
        layout, shapes = self.layout, self.layout.weights
        parts = {kind: [params[name] for name in names] for kind, names in layout.names.items()}
        parts["units"] = [self._whole(vector) for vector in parts["units"]]
        parts["biases"] = [
            self._whole(sum((params[b] for b in affine_of(node).biases), np.zeros(layout.size(node), self.dtype)))
            for node in slot_names(self.program)
        ]
        for kind, arrays in parts.items():
            if arrays:
                self._weights.upload(kind, arrays, shapes[kind], stream)
        self.loop.weights_changed()

    def _whole(self, vector: np.ndarray) -> np.ndarray:
        """Return a vector with zeros behind it up to the room of one in a block."""
        return np.pad(vector, (0, self.layout.stride - vector.size))

    def _stream_of(self, arrays: Mapping[str, Any]) -> Stream:
        """Return the stream of a call: that of its device arrays, or the kernel's own."""
        streams = [array.stream for array in arrays.values() if not isinstance(array, np.ndarray)]
        if not streams:
            return own_stream()
        chosen = next((stream for stream in streams if stream), None) or default_stream()
        for other in streams:
            if other and other is not chosen and int(other) != int(chosen):
                other.synchronize()  # what it still writes has to be there
        return chosen

    def _check(self, brought: Mapping[str, Block], stream: Stream) -> DeviceArray:
        """Start looking for values that are not finite; returns flags on the device, in the order of the arrays."""
        found = cuda.to_device(np.zeros(len(brought), dtype=np.int32), stream=stream)
        for index, block in enumerate(brought.values()):
            self._do.note_not_finite(block.flat, found, index, stream)
        return found

    def _refuse(self, given: Mapping[str, Any], found: DeviceArray) -> None:
        """Raise what says which of the arrays given is not finite, if one is not."""
        for (name, array), flag in zip(given.items(), found.copy_to_host(), strict=True):
            if flag:
                kind, _, state = name.partition(" ")
                host = array if isinstance(array, np.ndarray) else array.copy_to_host()
                require_finite(f"{kind}[{state!r}]" if state else kind, host)


def _rows(state: Block) -> DeviceArray:
    """Return a state as [B, values]."""
    B = state.array.shape[0]
    return state.flat.reshape(B, state.flat.size // B)


class _Results:
    """Arrays that a call hands out: of the device, or copied to the host at its end."""

    def __init__(self, held: Held, stream: Stream, to_host: bool) -> None:
        self._held, self._stream, self._to_host = held, stream, to_host
        self._blocks: dict[str, Block] = {}

    def new(self, name: str, shape: tuple[int, ...]) -> Block:
        """Return memory of the device for a result; of its own where it is handed out as it is."""
        if self._to_host:
            self._blocks[name] = self._held.block(name, shape)
        else:
            array = device_array(shape, self._held.dtype, self._stream)
            self._blocks[name] = Block(array.reshape(array.size), array)
        return self._blocks[name]

    def blocks(self) -> list[Block]:
        """Return the results' memory on the device."""
        return list(self._blocks.values())

    def complete(self) -> dict[str, Any]:
        """Wait for the device and return the results."""
        if not self._to_host:
            self._stream.synchronize()
            return {name: block.array for name, block in self._blocks.items()}
        copies = {name: self._held.download(name, block, self._stream) for name, block in self._blocks.items()}
        self._stream.synchronize()
        return {name: copy.copy() for name, copy in copies.items()}
