"""The machine and the versions that a measurement depends on, without anything that names its user, host or folders."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from rnnbench.engines.cpu import host_description

# What decides a number that rnnbench prints: its own kernels, its peers, and what they are compiled or run by.
_PACKAGES = (
    "llvmlite",
    "numba",
    "numba-cuda",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "rnnbench",
    "scikit-learn",
    "scipy",
    "torch",
)


@functools.cache
def machine_facts() -> dict[str, Any]:
    """Return the facts of this machine as a JSON dict; asked once per process.

    ``cpu`` (model name), ``cores`` (those this process may use), ``logical_cores``, ``memory_bytes``, ``os``,
    ``python``, ``packages`` (name -> version of those installed), ``commit`` and ``modified`` (of a checkout of
    rnnbench, None for an installed one), ``vector_width`` (bits; of the cpu engine).
    """
    import psutil

    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "logical_cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "os": _os_name(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _package_versions(),
        **_commit(Path(__file__).parents[2]),
        "vector_width": host_description()["vector_bits"],
    }


def available_cores() -> int:
    """Return the number of physical cores that this process may use."""
    import psutil

    logical = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical
    physical = psutil.cpu_count(logical=False) or logical
    return max(1, min(allowed, physical))


def _cpu_name() -> str:
    if platform.system() == "Linux":
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _os_name() -> str:
    # A kernel's full release may carry a name its owner gave it; its number does not.
    release = re.match(r"[\d.]*", platform.release())
    return " ".join(part for part in (platform.system(), release and release[0], platform.machine()) if part)


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit(root: Path) -> dict[str, Any]:
    """Return the commit of a checkout at ``root``; another project's repository around it does not count."""
    if not (root / ".git").exists():
        return {"commit": None, "modified": None}
    try:
        head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
        status = subprocess.run(["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True)
    except FileNotFoundError:  # a checkout on a machine without git
        return {"commit": None, "modified": None}
    if head.returncode or status.returncode:  # no commit yet, or a repository that git refuses to read
        return {"commit": None, "modified": None}
    return {"commit": head.stdout.strip(), "modified": bool(status.stdout.strip())}
