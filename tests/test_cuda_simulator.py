"""The tests of the CUDA engines, run without a GPU: in a process of its own, in numba-cuda's simulator."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = ("test_cuda_engines.py", "test_cuda_over_units.py", "test_cuda_kernels.py", "test_cuda_persistent.py")


def simulate(marks: str | None = None) -> None:
    """Run the tests in the simulator; fails with what pytest prints."""
    files = [str(TESTS / file) for file in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command + (["-m", marks] if marks else []),
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 100, done.stdout[-2000:]


def test_the_cuda_engines_in_the_simulator():
    simulate()


@pytest.mark.slow
def test_all_cells_in_both_dtypes_in_the_simulator():
    simulate("slow")
