"""The place of the CUDA engine: it tells whether this machine has a driver, and that no kernels are made for it yet."""

import ctypes
import sys

from rnnbench.engines import Kernel
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program


def unavailable_reason() -> str | None:
    """Return why the engine cannot run here."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "no CUDA driver found"
    return "this version of rnnbench has no CUDA kernels; there is a driver, so a later version will run here"


def prepare(
    program: Program, dtype: str, input_size: int, hidden: int, threads: int | None, checkpoint: int | None
) -> Kernel:
    """Raise RnnbenchError with the reason why the engine cannot run."""
    raise RnnbenchError(f"engine 'cuda' cannot run here: {unavailable_reason()}")
