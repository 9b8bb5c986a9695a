"""The engine cuda: one launch runs all steps, with recurrent weights and matrix states resident on the multiprocessors.

A size that they cannot hold is refused, naming engine cuda_steps, which lies beside it in ``steps``.
"""

from rnnbench.engines import Kernel
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program

# What may be multiplied in place of the dtype float32; sums, states, weights and everything else stay float32.
PRECISIONS = ("tf32", "bfloat16", "float16")
TAKES_HEADS = True


def unavailable_reason() -> str | None:
    """Return why the engine cannot run here, or None."""
    from rnnbench.engines.cuda import driver

    return driver.missing()


def prepare(
    program: Program,
    dtype: str,
    input_size: int,
    hidden: int,
    threads: int | None,
    checkpoint: int | None,
    precision: str | None = None,
    heads: int = 1,
) -> Kernel:
    """Return the program ready to run; ``threads`` is ignored, since the host's threads compute nothing.

    ``precision`` is one of PRECISIONS, for dtype float32, or None to multiply in the dtype. ``heads`` is the number of
    blocks on the diagonal of all recurrent matrices: they run apart from one another. Raises RnnbenchError for what the
    multiprocessors cannot hold.
    """
    if precision is not None and dtype != "float32":
        raise RnnbenchError(f"precision {precision!r} is for dtype 'float32', got dtype {dtype!r}")
    from rnnbench.engines.cuda.checkpoint import checkpointed
    from rnnbench.engines.cuda.persistent_loop import PersistentLoop
    from rnnbench.engines.cuda.run import CudaKernel

    loop = PersistentLoop(program, dtype, hidden, precision, heads)
    return checkpointed(CudaKernel("cuda", program, dtype, input_size, hidden, loop, precision), checkpoint)
