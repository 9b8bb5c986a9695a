"""A recurrent layer: a cell's weights and the engine that runs it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnbench.cells import get_cell
from rnnbench.engines import Arrays, TakesDeviceArrays, prepared
from rnnbench.errors import RnnbenchError, positive, unknown
from rnnbench.lang import CellSpec
from rnnbench.nn.initialisers import DEFAULTS
from rnnbench.nn.parametrizations import Structured

DTYPES = ("float32", "float64")


class Layer:
    """One cell over a sequence.

    ``cell`` is a name, "file.py:cell", or a CellSpec; ``input_size`` is I and ``hidden_size`` H. ``engine`` is one of
    ``rnnbench.engines()``; ``dtype`` "float32" or "float64"; ``precision`` what an engine on tensor cores may round
    values to before it multiplies them ("tf32", "float16", "bfloat16"; None: dtype). ``seed`` draws the initial
    parameters; ``init`` overrides the cell's initialisers ({"b.f": 1.0, "R": "orthogonal"}). ``threads`` limits the
    engine's threads (None: all cores it may use). With ``checkpoint`` k, training keeps the states of every k-th step
    only and computes the rest again in ``backward``: a third more work, and memory for T / k + k steps. Further keyword
    arguments are the cell's hyper-parameters.

    ``params`` maps names to arrays ("W.i" [I, H], "R.i" [H, H], "b.i" [H], "p.u" [H]): change them in place, the next
    call sees it. ``structures`` gives parameters a structure besides those of the cell ({"R": "orthogonal_exp"}, names
    in ``rnnbench.lang.weights``): ``params`` then holds what is trained in their place, and ``weights`` what the engine
    multiplies. A layer is not for use by two Python threads at once. Raises RnnbenchError for bad arguments.
    """

    def __init__(
        self,
        cell: str | CellSpec,
        input_size: int,
        hidden_size: int,
        engine: str = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        init: Mapping[str, str | float] | None = None,
        threads: int | None = None,
        checkpoint: int | None = None,
        structures: Mapping[str, str] | None = None,
        precision: str | None = None,
        **hyper: float,
    ) -> None:
        self.cell = get_cell(cell)
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.engine = engine
        if str(dtype) not in DTYPES and getattr(dtype, "__name__", "") not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        self.dtype = np.dtype(dtype)
        self.program = self.cell.trace(**hyper)
        self.program.check_hidden(self.hidden_size)
        threads = None if threads is None else positive("threads", threads)
        checkpoint = None if checkpoint is None else positive("checkpoint", checkpoint)
        asked = self.program, self.dtype.name, self.input_size, self.hidden_size, threads, checkpoint
        shapes = {name: self.program.shape(name, input_size, hidden_size) for name in self.program.params}
        self._structured = Structured({**self.cell.structures, **(structures or {})}, shapes, self.program.hyper)
        self._kernel = prepared(engine, asked, precision, self._structured.diagonal_blocks())
        self.params = self._initial(seed, init or {})
        self.weights = self._structured.weights(self.params)
        self._frozen = False
        self._saved: tuple[np.ndarray, bool] | None = None  # x of the last training forward, and whether last_only

    def _initial(self, seed: int, init: Mapping[str, str | float]) -> Arrays:
        for key in init:
            if key not in self._structured.shapes and key not in DEFAULTS:
                known = [*self._structured.shapes, *DEFAULTS]
                raise unknown(f"parameter of {self.cell.name} in init", key, known)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise RnnbenchError(f"seed must be a whole number of at least 0, got {seed!r}")
        drawn = self._structured.draw(np.random.default_rng(seed), init, self.cell.init)
        return {name: array.astype(self.dtype) for name, array in drawn.items()}

    def __repr__(self) -> str:
        sizes = f"input_size={self.input_size}, hidden_size={self.hidden_size}"
        return f"Layer({self.cell.name!r}, {sizes}, engine={self.engine!r}, dtype={self.dtype.name!r})"

    @property
    def output_size(self) -> int:
        """Size of the output's last axis: H, or the size that the cell declares for its output."""
        return self.program.output_size(self.hidden_size)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states."""
        return self.program.states

    def state_shape(self, name: str, batch: int) -> tuple[int, ...]:
        """Return the shape of a state: [B, H] or [B, its own size], of a matrix state [B, heads, H / heads, H / heads]
        (keys, values).
        """
        return (batch, *self.program.state_shape(name, self.hidden_size))

    def forward(
        self,
        x: np.ndarray,
        state: Mapping[str, np.ndarray] | None = None,
        training: bool = False,
        outputs: str = "all",
    ) -> tuple[np.ndarray, Arrays]:
        """Run the layer over a sequence.

        ``x`` [T, B, I] of the layer's dtype; ``state`` gives initial states by name, [B, H] each, zero where absent.
        With ``training`` the layer keeps what ``backward`` needs, until the next forward. ``outputs`` is "all" for y
        [T, B, H], or "last" for y [B, H] of the last step. Returns y and the final states by name, all new arrays.
        Where the cell declares other sizes, these stand for H (``output_size``, ``state_shape``).
        With a CUDA engine, x and states may lie on the GPU: what shows ``__cuda_array_interface__`` or DLPack is read
        where it lies. The results then lie there if x does, and show ``__cuda_array_interface__``.
        Raises RnnbenchError for a wrong shape, dtype, name, or a value that is not finite.
        """
        if outputs not in ("all", "last"):
            raise RnnbenchError(f"outputs must be 'all' or 'last', got {outputs!r}")
        if training and self._frozen:
            raise RnnbenchError("the layer is frozen for inference: call thaw() before forward(training=True)")
        x = self._checked("x", x, (None, None, self.input_size), "[T, B, I]")
        start = self._checked_states("state", state, x.shape[1])
        self._saved = None
        if not self._frozen:
            self._structured.apply()
        y, final = self._kernel.forward(self.weights, x, start, training, outputs == "last")
        self._saved = (x, outputs == "last") if training else None
        return y, final

    def backward(self, dy: np.ndarray, dfinal: Mapping[str, np.ndarray] | None = None) -> Arrays:
        """Return gradients after ``forward(..., training=True)``, with unchanged params and x.

        ``dy`` is the gradient of y and of its shape; ``dfinal`` those of the final states by name, [B, H] each, zero
        where absent. The result has an array for every name in ``params``, "x" [T, B, I], and every state's name
        (the gradient of the initial state, [B, H]). Raises RnnbenchError where no training forward came before: each
        backward needs its own, since it writes over what the forward saved.
        """
        if self._saved is None:
            raise RnnbenchError("backward needs a forward(..., training=True) just before it")
        x, last_only = self._saved
        steps, batch, _ = x.shape
        size, units = self.program.sizes.states[self.program.output], self.output_size
        expected = (batch, units) if last_only else (steps, batch, units)
        dy = self._checked("dy", dy, expected, f"[B, {size}]" if last_only else f"[T, B, {size}]")
        d_states = self._checked_states("dfinal", dfinal, batch)
        self._saved = None
        grads = self._kernel.backward(self.weights, x, dy, d_states)
        return self._structured.gradients(grads)

    def freeze(self) -> None:
        """Prepare for inference: weights are packed once, and later changes of ``params`` are not seen until thaw."""
        self._structured.apply()
        self._kernel.freeze(self.weights)
        self._frozen = True

    def thaw(self) -> None:
        """Undo ``freeze``: every call sees the present values of ``params`` again."""
        self._kernel.thaw()
        self._frozen = False

    def plain_weights(self) -> Arrays:
        """Return what the engine multiplies, by name, as the present ``params`` give it: the layer's own arrays."""
        self._structured.apply()
        return self.weights

    def to_torch(self, one_step: bool = False) -> Any:
        """Return a torch.nn module with these weights (see ``rnnbench.nn.torch_weights.to_torch``).

        With ``one_step`` it is an RNNCell, LSTMCell or GRUCell. Raises RnnbenchError for a cell that torch.nn lacks.
        """
        from rnnbench.nn.torch_weights import to_torch

        return to_torch(self, one_step)

    def to_device(self, array: np.ndarray) -> Any:
        """Return a copy of an array where the engine computes: on the GPU for a CUDA engine, else the array itself."""
        return self._kernel.to_device(array) if isinstance(self._kernel, TakesDeviceArrays) else array

    def workspace_bytes(self, T: int, B: int, training: bool = False) -> int:
        """Return the bytes that a call of this shape holds beside its arguments and results."""
        return self._kernel.workspace_bytes(positive("T", T), positive("B", B), training)

    def _checked(self, name: str, array: np.ndarray, shape: tuple[int | None, ...], legend: str) -> np.ndarray:
        """Return ``array`` C-contiguous after checking it; None in ``shape`` is any size of at least 1."""
        if not isinstance(array, np.ndarray):
            taken = self._kernel.on_device(name, array) if isinstance(self._kernel, TakesDeviceArrays) else None
            if taken is None:
                raise RnnbenchError(f"{name} must be a NumPy array {legend}, got {type(array).__name__}")
            array = taken
        if array.dtype != self.dtype:
            raise RnnbenchError(f"{name} must be {self.dtype.name}, the layer's dtype, got {array.dtype.name}")
        sizes = array.shape
        if (
            len(sizes) != len(shape)
            or 0 in sizes
            or any(w is not None and w != n for w, n in zip(shape, sizes, strict=True))
        ):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise RnnbenchError(f"{name} must have shape {legend} = [{wanted}], got {list(array.shape)}")
        if isinstance(array, np.ndarray) and not array.flags.c_contiguous:
            return np.ascontiguousarray(array)
        return array

    def _checked_states(self, name: str, state: Mapping[str, np.ndarray] | None, batch: int) -> Arrays:
        if state is None:
            return {}
        if state is not None and not isinstance(state, Mapping):
            names = ", ".join(f"{s!r}: {self._legend(s)}" for s in self.states)
            raise RnnbenchError(f"{name} must map state names to arrays, {{{names}}}, got {type(state).__name__}")
        given = dict(state or {})
        for key in given:
            if key not in self.states:
                raise unknown(f"state of {self.cell.name} in {name}", key, self.states)
        return {
            k: self._checked(f"{name}[{k!r}]", v, self.state_shape(k, batch), self._legend(k)) for k, v in given.items()
        }

    def _legend(self, state: str) -> str:
        if state in self.program.matrices:
            return "[B, heads, H / heads, H / heads]"
        return f"[B, {self.program.sizes.states[state]}]"
