"""The private folder of kernels: sources addressed by the hash of everything they are made from.

Its content is executed, so the folder belongs to the user alone (0700). A package in it holds the shared kernels for
one dtype, vector width, processor and version of Numba; the emitted file of a cell lies in that package. Beside them
lies the machine code of each function that was asked for, as an object file with a checksum. A process that finds all
of its functions there loads them without importing Numba; one that does not compiles what is missing.
"""

import hashlib
import importlib
import importlib.util
import os
import platform
import re
import sys
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from rnnbench.engines.cpu import beside, machine_code
from rnnbench.engines.cpu.host import host
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.emit import cpu_source

ITEMSIZE = {"float32": 4, "float64": 8}

_LOCK = threading.Lock()
_ADDRESSES: dict[str, int] = {}  # of all functions that this process has loaded, by symbol


def cache_folder() -> Path:
    """Return the folder of kernels: RNNBENCH_CACHE_DIR, or ``rnnbench`` in the user's cache folder."""
    chosen = os.environ.get("RNNBENCH_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "rnnbench" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rnnbench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnbench"


def _private(folder: Path) -> Path:
    """Return the folder, made if need be, after checking that nobody else can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        reason = f"{error.strerror}; set RNNBENCH_CACHE_DIR to a folder of your own"
        raise RnnbenchError(f"cannot use the kernel cache {folder}: {reason}") from error
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            raise RnnbenchError(f"the kernel cache {folder} is another user's; set RNNBENCH_CACHE_DIR to your own")
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def _setting(dtype: str) -> str:
    lanes, registers = host().lanes(ITEMSIZE[dtype]), host().registers
    return f'"""Made by rnnbench.engines.cpu.cache."""\n\nDTYPE = {dtype!r}\nLANES = {lanes}\nREGISTERS = {registers}\n'


def _sources(dtype: str) -> dict[str, str]:
    """Return the shared kernels' files by name."""
    folder = Path(__file__).parent / "kernels"
    shared = {p.name: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.py"))}
    return shared | {"setting.py": _setting(dtype)}


def package_name(dtype: str) -> str:
    """Return the name of the shared kernels' package: a hash of their sources and of all that compiles them."""
    machine = [host().name, host().features, platform.python_version(), version("numba"), version("llvmlite")]
    settings = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT")
    machine += [f"{name}={os.environ.get(name)}" for name in settings]
    digest = hashlib.sha256(repr((machine, _sources(dtype))).encode()).hexdigest()
    return f"rnnbench_kernels_{dtype}_{digest[:16]}"


@cache
def _package(dtype: str) -> Path:
    """Return the folder of the shared kernels' package; settled once for a process."""
    return _private(_private(cache_folder()) / package_name(dtype))


def _write(path: Path, text: str) -> None:
    """Write a source unless the file already holds just this text."""
    if not path.is_file() or path.read_bytes() != text.encode():
        machine_code.write(path, text.encode())


@cache
def shared_kernels(dtype: str) -> ModuleType:
    """Return the imported package of shared kernels for a dtype; only compiling needs it, and it imports Numba."""
    folder = _package(dtype)
    for file, text in _sources(dtype).items():
        _write(folder / file, text)
    found = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert found is not None
    assert found.loader is not None
    package = importlib.util.module_from_spec(found)
    sys.modules[folder.name] = package
    found.loader.exec_module(package)
    return package


def cell_kernels(program: Program, dtype: str) -> ModuleType:
    """Return the imported module of a program's emitted tiles; only compiling needs it, and it imports Numba."""
    package = shared_kernels(dtype).__name__
    module, text = _emitted(program)
    if f"{package}.{module}" not in sys.modules:
        _write(_package(dtype) / f"{module}.py", text)
        importlib.invalidate_caches()
    return importlib.import_module(f"{package}.{module}")


@lru_cache(maxsize=256)
def _emitted(program: Program) -> tuple[str, str]:
    """Return the name of a program's module, which ends with the hash of its source, and the source."""
    text = cpu_source(program)
    stem = re.sub(r"\W", "_", program.name)
    return f"cell_{stem}_{hashlib.sha256(text.encode()).hexdigest()[:16]}", text


def shared_address(dtype: str, module: str, function: str) -> int:
    """Return the machine address of a shared kernel, such as "run_steps" of "sequence".

    Its machine code comes from the cache, or is compiled into it. The address is valid until the process ends.
    """
    return _address(
        dtype, module, function, lambda: importlib.import_module(f"{shared_kernels(dtype).__name__}.{module}")
    )


def cell_address(program: Program, dtype: str, function: str) -> int:
    """Return the machine address of a tile of a program, such as "training_0"; as ``shared_address``."""
    return _address(dtype, _emitted(program)[0], function, lambda: cell_kernels(program, dtype))


def _address(dtype: str, module: str, function: str, imported: Callable[[], ModuleType]) -> int:
    """Return where a function lies in this process; ``imported`` gives its module where it must be compiled."""
    folder = _package(dtype)
    symbol = f"{folder.name}.{module}.{function}"
    with _LOCK:
        if symbol not in _ADDRESSES:
            path = folder / f"{module}.{function}.o"
            code = machine_code.read(path, symbol)
            if code is None:
                if not (folder / "sequence.run_steps.o").exists() and _cores() > 1:
                    beside.start(dtype)
                code = beside.wait_for(dtype, module, function, path, symbol)
            if code is None:
                code = _compiled(path, symbol, imported(), function)
            _ADDRESSES[symbol] = machine_code.load(symbol, code)
        return _ADDRESSES[symbol]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compiled(path: Path, symbol: str, module: ModuleType, function: str) -> bytes:
    """Return the object code of a function, compiled and stored."""
    code = getattr(module, function).object_code(symbol)
    machine_code.save(path, symbol, code)
    return code


def compile_missing(dtype: str, kernels: list[tuple[str, str]]) -> None:
    """Compile those of the shared kernels, (module, function), that the cache lacks."""
    folder = _package(dtype)
    for module, function in kernels:
        path, symbol = folder / f"{module}.{function}.o", f"{folder.name}.{module}.{function}"
        if machine_code.read(path, symbol) is None:
            _compiled(path, symbol, importlib.import_module(f"{shared_kernels(dtype).__name__}.{module}"), function)
