"""Engines run a Program over a sequence, forward and backward. One protocol; no engine ever hands over to another."""

import importlib
from typing import Protocol

import numpy as np

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.lang import Program
from rnnbench.rooms import make_callable

Arrays = dict[str, np.ndarray]

_MODULES = {name: f"rnnbench.engines.{name}" for name in ("reference", "cpu", "cuda")}


def require_finite(name: str, array: np.ndarray) -> None:
    """Raise RnnbenchError that names the first value of an array that is infinite or not a number."""
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise RnnbenchError(f"{name} must be finite, got {array[where]} at {list(where)}")


class Kernel(Protocol):
    """A program prepared for one dtype, input size I and hidden size H. Not for use by two Python threads at once."""

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


class Engine(Protocol):
    """What a module of this room provides."""

    def unavailable_reason(self) -> str | None:
        """Return None where the engine can run, else one sentence that says why not."""
        ...

    def prepare(
        self, program: Program, dtype: str, input_size: int, hidden: int, threads: int | None, checkpoint: int | None
    ) -> Kernel:
        """Return the program ready to run; raises RnnbenchError for what the engine cannot do."""
        ...


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
