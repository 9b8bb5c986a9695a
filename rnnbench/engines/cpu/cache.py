"""The private folder of kernels: sources addressed by the hash of everything they are made from.

Its content is executed, so the folder belongs to the user alone (0700). A package in it holds the shared kernels for
one dtype, vector width, processor and version of Numba; the emitted file of a cell lies in that package. Numba's own
cache of machine code lies beside each file, and sees no change that did not also change an address.
"""

import hashlib
import importlib
import importlib.util
import os
import platform
import re
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from rnnbench.engines.cpu.host import host
from rnnbench.errors import RnnbenchError
from rnnbench.lang import Program
from rnnbench.lang.emit import cpu_source

ITEMSIZE = {"float32": 4, "float64": 8}


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


def _write(path: Path, text: str) -> None:
    """Write the file unless it already holds just this text; a reader sees all of it or nothing."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)


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
def shared_kernels(dtype: str) -> ModuleType:
    """Return the imported package of shared kernels for a dtype."""
    name = package_name(dtype)
    folder = _private(_private(cache_folder()) / name)
    for file, text in _sources(dtype).items():
        _write(folder / file, text)
    found = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert found is not None
    assert found.loader is not None
    package = importlib.util.module_from_spec(found)
    sys.modules[name] = package
    found.loader.exec_module(package)
    return package


def cell_kernels(program: Program, dtype: str) -> ModuleType:
    """Return the imported module of a program's emitted tiles."""
    package = shared_kernels(dtype)
    text = cpu_source(program)
    stem = re.sub(r"\W", "_", program.name)
    module = f"cell_{stem}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    full = f"{package.__name__}.{module}"
    if full not in sys.modules:
        assert package.__file__ is not None
        _write(Path(package.__file__).parent / f"{module}.py", text)
        importlib.invalidate_caches()
    return importlib.import_module(full)
