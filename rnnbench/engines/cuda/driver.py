"""Whether CUDA kernels can run here, asked of the driver itself: nothing is imported but the standard library.

A device is asked for with CUDA_VISIBLE_DEVICES, as everywhere; the first visible one is used. In numba-cuda's simulator
(NUMBA_ENABLE_CUDASIM=1) everything runs as plain Python, slowly, and needs neither driver nor device.
"""

import ctypes
import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import cache

OLDEST = (8, 0)  # compute capability: asynchronous copies, bfloat16 and tf32 on tensor cores
OLDEST_DRIVER = (12, 0)  # the CUDA version that it must know
INSTALL = 'pip install "rnnbench[cuda]"'
INSTALL_12 = 'pip install "rnnbench[cuda12]"'

NO_DRIVER = f"no CUDA driver found: on a machine with an NVIDIA GPU install its driver (525 or later), then {INSTALL}"

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


@dataclass(frozen=True)
class Device:
    """The GPU that the engines use: its name, compute capability, and the CUDA version that the driver knows."""

    name: str
    capability: tuple[int, int]
    driver: tuple[int, int]


def simulated() -> bool:
    """Tell whether numba-cuda runs its simulator in this process."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


@cache
def missing() -> str | None:
    """Return what keeps CUDA kernels from running here, in one sentence, or None."""
    found = None if simulated() else find_device()
    if isinstance(found, str):
        return found
    if importlib.util.find_spec("numba_cuda") is None:
        return f"numba-cuda is not installed: {INSTALL}"
    if found is None:
        return None
    version = ".".join(map(str, found.driver))
    if found.capability < OLDEST:
        has, least = (".".join(map(str, c)) for c in (found.capability, OLDEST))
        return f"{found.name} has compute capability {has}; the kernels need {least} or later"
    if found.driver < OLDEST_DRIVER:
        return f"the CUDA driver knows CUDA {version}; the kernels need a driver for CUDA 12 or later"
    return _compiler_missing(found.driver)


def describe() -> str:
    """Return in words which GPU the engines would use, or why there is none."""
    found = find_device()
    if isinstance(found, str):
        return found
    capability, version = (".".join(map(str, pair)) for pair in (found.capability, found.driver))
    return f"{found.name}, compute capability {capability}, driver for CUDA {version}"


def find_device() -> Device | str:
    """Return the first visible GPU, or why there is none."""
    library = _library()
    if library is None:
        return NO_DRIVER
    code = library.cuInit(0)
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    if code == 0:
        code = library.cuDeviceGetCount(ctypes.byref(count))
    if code not in (0, 100):  # 100: CUDA_ERROR_NO_DEVICE
        return f"the CUDA driver does not start: {_error_name(library, code)}"
    if count.value == 0:
        return "the CUDA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)"
    library.cuDriverGetVersion(ctypes.byref(version))
    device, name = ctypes.c_int(0), ctypes.create_string_buffer(128)
    library.cuDeviceGet(ctypes.byref(device), 0)
    library.cuDeviceGetName(name, len(name), device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    major, minor = version.value // 1000, version.value % 1000 // 10
    return Device(name.value.decode(errors="replace"), (capability[0], capability[1]), (major, minor))


def _library() -> ctypes.CDLL | None:
    """Return the driver's library, or None where there is none."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def _error_name(library: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    library.cuGetErrorName(code, ctypes.byref(text))
    return text.value.decode() if text.value else f"error {code}"


def _compiler_missing(driver: tuple[int, int]) -> str | None:
    """Return what says that the toolkit, which compiles kernels, is missing or for a newer driver."""
    from cuda.pathfinder import DynamicLibNotFoundError, load_nvidia_dynamic_lib

    fitting = INSTALL if driver[0] >= 13 else INSTALL_12
    try:
        load_nvidia_dynamic_lib("nvvm")
        compiler = ctypes.CDLL(load_nvidia_dynamic_lib("nvrtc").abs_path)
    except DynamicLibNotFoundError:
        return f"the CUDA toolkit's compiler (libNVVM and NVRTC) is not installed: {fitting}"
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    compiler.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    # Machine code runs on drivers of the same major version, whatever the minor one.
    if major.value > driver[0]:
        knows = ".".join(map(str, driver))
        return f"the CUDA toolkit is for CUDA {major.value}, but the driver knows CUDA {knows}: {fitting}"
    return None
