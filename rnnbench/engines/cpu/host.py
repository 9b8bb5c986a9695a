"""What this machine's processor offers to the kernels."""

import os
import platform
from dataclasses import dataclass
from functools import cache

from rnnbench.engines.cpu.caches import data_caches
from rnnbench.engines.cpu.kernels import layout
from rnnbench.errors import RnnbenchError

# Second-level cache of a core where the system tells of others only.
USUAL_LEVEL_2 = 512 << 10


@dataclass(frozen=True)
class Host:
    """``name`` and ``features`` of the processor as LLVM knows them, ``vector_bytes`` of a vector and the number of
    vector ``registers``, and the bytes of a core's second-level cache, ``level_2``."""

    name: str
    features: str
    vector_bytes: int
    registers: int
    level_2: int

    def lanes(self, itemsize: int) -> int:
        """Return how many values of ``itemsize`` bytes a vector holds."""
        return self.vector_bytes // itemsize

    def panel(self, itemsize: int) -> int:
        """Return how many columns a panel of packed weights has."""
        return layout.VECTORS[self.registers] * self.lanes(itemsize)


@cache
def host() -> Host:
    """Return this machine's Host; RNNBENCH_VECTOR_BITS (128, 256 or 512) narrows its vectors, to test other widths."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    arm = platform.machine().lower() in ("aarch64", "arm64")
    wide = all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq", "avx512bw"))
    widest = 64 if wide else 32 if features.get("avx2") and features.get("fma") else 16
    bits = os.environ.get("RNNBENCH_VECTOR_BITS", str(widest * 8))
    if bits not in ("128", "256", "512") or int(bits) > widest * 8:
        raise RnnbenchError(f"RNNBENCH_VECTOR_BITS must be 128, 256 or 512 and at most {widest * 8} here, got {bits!r}")
    level_2 = next((cache.size for cache in data_caches()[0] if cache.level == 2), USUAL_LEVEL_2)
    # Narrower vectors than the host's come with the registers of the machines that have no wider ones.
    registers = 32 if arm or int(bits) == 512 else 16
    return Host(llvm.get_host_cpu_name(), features.flatten(), int(bits) // 8, registers, level_2)
