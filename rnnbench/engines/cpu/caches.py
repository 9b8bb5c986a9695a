"""The caches of this machine: sizes and who shares them, as the operating system tells it."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")
# Where nothing tells: what nearly every processor of the last ten years has at least.
_ASSUMED = ((1, 32 << 10, 1), (2, 256 << 10, 1))
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Cache:
    """One level of data cache: its ``size`` in bytes and the number of physical ``cores`` that share it."""

    level: int
    size: int
    cores: int

    @property
    def name(self) -> str:
        """ "L1", "L2", ..."""
        return f"L{self.level}"

    @property
    def share(self) -> int:
        """The bytes of one core when all that share the cache use it."""
        return self.size // self.cores


def data_caches() -> tuple[tuple[Cache, ...], str]:
    """Return the data caches of the first core, innermost first, and who told: "sysfs", "sysctl", "sysconf", "assumed".

    "assumed" is not this machine's: it stands for 32 KiB and 256 KiB where the system tells nothing.
    """
    system = platform.system()
    told = {"sysfs": sysfs_caches(_SYSFS)} if system == "Linux" else {}
    if system == "Darwin":
        told["sysctl"] = _sysctl_caches()
    elif hasattr(os, "sysconf") and not told.get("sysfs"):
        told["sysconf"] = _sysconf_caches()
    for source, caches in told.items():
        if caches:
            return caches, source
    return tuple(Cache(*one) for one in _ASSUMED), "assumed"


def sysfs_caches(folder: Path) -> tuple[Cache, ...]:
    """Return the caches described in Linux's folder ``cpu0/cache``, none where there is no such folder.

    Linux counts logical processors; those that share the first level are one core.
    """
    found: dict[int, tuple[int, int]] = {}
    for place in folder.glob("index[0-9]*"):
        told = {
            name: (place / name).read_text().strip() if (place / name).is_file() else ""
            for name in ("level", "type", "size", "shared_cpu_list")
        }
        size = _bytes(told["size"])
        if told["type"] in ("Data", "Unified") and told["level"].isdigit() and size:
            found[int(told["level"])] = (size, _processors(told["shared_cpu_list"]))
    if not found:
        return ()
    threads_per_core = found[min(found)][1]
    return tuple(
        Cache(level, size, max(1, sharing // threads_per_core)) for level, (size, sharing) in sorted(found.items())
    )


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _processors(text: str) -> int:
    """Return how many processors a list such as "0-3,8-11" names; 1 for one that names none."""
    count = 0
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return max(1, count)


def _sysctl_caches() -> tuple[Cache, ...]:
    """Return macOS's caches of the fast cores (level 0), or of all where they are alike."""

    def ask(name: str) -> int:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True)
        return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0

    first = ask("hw.perflevel0.l1dcachesize") or ask("hw.l1dcachesize")
    second = ask("hw.perflevel0.l2cachesize") or ask("hw.l2cachesize")
    sharing, third = ask("hw.perflevel0.cpusperl2") or 1, ask("hw.l3cachesize")
    sizes = [(1, first, 1), (2, second, sharing), (3, third, ask("hw.physicalcpu") or 1)]
    return tuple(Cache(*one) for one in sizes if one[1])


def _sysconf_caches() -> tuple[Cache, ...]:
    """Return what the C library tells: sizes only; a third level is taken to be shared by all cores."""
    names = ("SC_LEVEL1_DCACHE_SIZE", "SC_LEVEL2_CACHE_SIZE", "SC_LEVEL3_CACHE_SIZE")
    sizes = [os.sysconf(name) if name in os.sysconf_names else 0 for name in names]
    cores = (1, 1, os.cpu_count() or 1)
    return tuple(Cache(i + 1, size, cores[i]) for i, size in enumerate(sizes) if size > 0)
