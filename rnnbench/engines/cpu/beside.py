"""Compiling the longest shared kernels in a process beside this one, the first time on a machine.

Numba compiles in one thread. What a training step asks for last, or what takes longest, is compiled by a second process
while this one compiles the rest; it leaves object files in the cache, where this process finds them.
"""

import atexit
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rnnbench.engines.cpu import machine_code

# In the order in which a training step asks for them.
KERNELS = (
    ("sequence", "run_steps"),
    ("product", "product_transposed"),
    ("gradients", "run_gradients"),
    ("gradients", "finish_gradients"),
)
_BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from rnnbench.engines.cpu.cache import compile_missing
compile_missing(sys.argv[2], json.loads(sys.argv[3]))
"""
_processes: dict[str, subprocess.Popen] = {}  # by dtype


def start(dtype: str) -> None:
    """Start compiling ``KERNELS`` for a dtype, once in the life of this process."""
    if dtype in _processes:
        return
    command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), dtype, json.dumps(KERNELS)]
    # What it would say, this process says when it comes to compile the same itself.
    _processes[dtype] = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    atexit.register(_stop, _processes[dtype], os.getpid())


def _stop(process: subprocess.Popen, owner: int) -> None:
    if os.getpid() != owner:  # a forked child ends, not the process that started it
        return
    if process.poll() is None:
        process.terminate()
    process.wait()


def wait_for(dtype: str, module: str, function: str, path: Path, symbol: str) -> bytes | None:
    """Return the object code of a kernel as soon as the process beside has stored it; None if it does not."""
    process = _processes.get(dtype)
    if process is None or (module, function) not in KERNELS:
        return None
    code = None
    while code is None and process.poll() is None:
        time.sleep(0.005)
        code = machine_code.read(path, symbol)
    return code or machine_code.read(path, symbol)
