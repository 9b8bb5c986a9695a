"""Engines run a Program over a sequence, forward and backward. One protocol; no engine ever hands over to another."""

import importlib
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.lang import Program
from rnnbench.rooms import make_callable

Arrays = dict[str, np.ndarray]

_MODULES = {
    "reference": "rnnbench.engines.reference",
    "cpu": "rnnbench.engines.cpu",
    "cuda": "rnnbench.engines.cuda",
    "cuda_steps": "rnnbench.engines.cuda.steps",
}


def require_finite(name: str, array: np.ndarray) -> None:
    """Raise RnnbenchError that names the first value of an array that is infinite or not a number."""
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise RnnbenchError(f"{name} must be finite, got {array[where]} at {list(where)}")


def require_parameters(program: Program, params: Arrays, dtype: np.dtype, input_size: int, hidden: int) -> None:
    """Raise RnnbenchError that names the first parameter that kernels cannot read as it is."""
    for name in program.params:
        shape = program.shape(name, input_size, hidden)
        value = params.get(name)
        if (
            not isinstance(value, np.ndarray)
            or value.shape != shape
            or value.dtype != dtype
            or not value.flags.c_contiguous
        ):
            raise RnnbenchError(f"params[{name!r}] must be a C-contiguous {dtype.name} array {list(shape)}")


class Kernel(Protocol):
    """A program prepared for one dtype, input size I and hidden size H. Not for use by two Python threads at once.

    H in the shapes below is a state's own size, of y the output's, where the cell declares others.
    """

    def forward(
        self, params: Arrays, x: np.ndarray, state: Arrays, training: bool, last_only: bool
    ) -> tuple[np.ndarray, Arrays]:
        """Run all steps: x [T, B, I], state name -> [B, H] (absent is zero). Returns y [T, B, H], or [B, H] with
        ``last_only``, and the final states. With ``training``, keeps what one ``backward`` needs.
        Raises RnnbenchError where a given value is not finite (``require_finite``), as ``backward`` does.
        """
        ...

    def backward(self, params: Arrays, x: np.ndarray, dy: np.ndarray, dfinal: Arrays) -> Arrays:
        """Run all steps backwards after a training forward of the same params and x: dy like y, dfinal name -> [B, H].
        Returns gradients named like params, and "x" [T, B, I] and every state [B, H].
        """
        ...

    def freeze(self, params: Arrays) -> None:
        """Pack the weights once; until ``thaw`` later changes of ``params`` are not seen."""
        ...

    def thaw(self) -> None:
        """See changes of the parameters again."""
        ...

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes that a call holds beside its arguments and results."""
        ...


@runtime_checkable
class TakesDeviceArrays(Protocol):
    """A kernel that also reads arrays where they lie on its device, and then hands out such."""

    def on_device(self, name: str, array: Any) -> Any | None:
        """Return an array that lies on the device, with ``shape`` and ``dtype``; None for any other."""
        ...

    def to_device(self, array: np.ndarray) -> Any:
        """Return a copy of an array on the device."""
        ...


class Engine(Protocol):
    """What a module of this room provides; ``PRECISIONS`` where ``prepare`` takes a ``precision`` of these names, and
    ``TAKES_HEADS`` where it takes ``heads`` (``prepared``).
    """

    def unavailable_reason(self) -> str | None:
        """Return None where the engine can run, else one sentence that says why not."""
        ...

    def prepare(
        self, program: Program, dtype: str, input_size: int, hidden: int, threads: int | None, checkpoint: int | None
    ) -> Kernel:
        """Return the program ready to run; raises RnnbenchError for what the engine cannot do."""
        ...


def prepared(engine: str, asked: tuple, precision: str | None, heads: int = 1) -> Kernel:
    """Return a program prepared by an engine: ``asked`` is what ``Engine.prepare`` takes.

    ``heads`` is the number of blocks on the diagonal of all recurrent matrices, outside of which these are zero; an
    engine may make use of it.
    Raises RnnbenchError for a ``precision`` that the engine does not have, and as ``get_engine`` and ``prepare`` do.
    """
    module: Any = get_engine(engine)
    known = getattr(module, "PRECISIONS", ())
    if precision is not None and precision not in known:
        what = f"takes one of {', '.join(known)} or None" if known else "multiplies in its dtype"
        raise RnnbenchError(f"engine {engine!r} {what}, got precision={precision!r}")
    options: dict[str, Any] = {"precision": precision} if precision is not None else {}
    if heads > 1 and getattr(module, "TAKES_HEADS", False):
        options["heads"] = heads
    return module.prepare(*asked, **options)


def engines() -> dict[str, str | None]:
    """Return every engine's name with None, or with the reason why it cannot run here."""
    return {name: importlib.import_module(module).unavailable_reason() for name, module in _MODULES.items()}


def get_engine(name: str) -> Engine:
    """Return the engine of this name; raises RnnbenchError where it is unknown or cannot run here."""
    if name not in _MODULES:
        raise unknown("engine", name, _MODULES)
    engine: Engine = importlib.import_module(_MODULES[name])  # type: ignore[assignment]
    reason = engine.unavailable_reason()
    if reason is not None:
        raise RnnbenchError(f"engine {name!r} cannot run here: {reason}")
    return engine


make_callable(__name__, engines)
