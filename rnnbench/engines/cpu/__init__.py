"""The Numba engine for CPUs: float32 and float64, any size, threads over the batch."""

from rnnbench.engines import Kernel
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program


def unavailable_reason() -> str | None:
    """Return None: Numba is a dependency and its code runs on every CPU that it supports."""
    return None


def prepare(
    program: Program, dtype: str, input_size: int, hidden: int, threads: int | None, checkpoint: int | None
) -> Kernel:
    """Return the program ready to run on so many threads (None: all that this process may use)."""
    from rnnbench.engines.cpu.run import CpuKernel
    from rnnbench.engines.cpu.threads import available_threads

    most = available_threads()
    if threads is not None and threads > most:
        raise RnnbenchError(f"threads must be at most {most} here (cores, or NUMBA_NUM_THREADS), got {threads}")
    return CpuKernel(program, dtype, input_size, hidden, threads or most, checkpoint)


def how_split(program: Program, sizes: tuple[int, int, int, int], threads: int | None = None) -> str:
    """Return in words how a float32 call of T steps, B rows, I and H, ``sizes``, would be shared among threads."""
    from rnnbench.engines.cpu.host import host
    from rnnbench.engines.cpu.split import choose
    from rnnbench.engines.cpu.threads import available_threads

    return str(choose(program, sizes, 4, host(), threads or available_threads()))


def host_description() -> dict[str, object]:
    """Return what the engine knows of this machine: processor, vector width and threads."""
    from rnnbench.engines.cpu.host import host
    from rnnbench.engines.cpu.threads import available_threads

    return {
        "processor": host().name,
        "vector_bits": host().vector_bytes * 8,
        "vector_registers": host().registers,
        "threads": available_threads(),
    }
