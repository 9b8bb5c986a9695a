"""The engine cuda_steps: for each step and stage one launch for its products, one for what else reads other units,
such as a matrix state, and one for the rest. Any size.

It is what the engine cuda is measured and checked against.
"""

import numpy as np

from rnnbench.engines import Kernel
from rnnbench.engines.cuda import driver
from rnnbench.lang import Program

# Of the pre-activations of inference, which are formed so many steps ahead.
AHEAD_BYTES = 64 << 20


def unavailable_reason() -> str | None:
    """Return why the engine cannot run here, or None."""
    return driver.missing()


def prepare(
    program: Program, dtype: str, input_size: int, hidden: int, threads: int | None, checkpoint: int | None
) -> Kernel:
    """Return the program ready to run; ``threads`` is ignored, since the host's threads compute nothing."""
    program.check_hidden(hidden)
    from rnnbench.engines.cuda.checkpoint import checkpointed
    from rnnbench.engines.cuda.memory import Layout
    from rnnbench.engines.cuda.run import CudaKernel
    from rnnbench.engines.cuda.steps_loop import StepsLoop

    loop = StepsLoop(Layout(program, np.dtype(dtype), input_size, hidden))
    return checkpointed(CudaKernel("cuda_steps", program, dtype, input_size, hidden, loop), checkpoint)
