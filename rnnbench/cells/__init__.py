"""Recurrent cells, one per file; the file's stem is the cell's name."""

import importlib
import importlib.util
import linecache
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from math import lcm
from pathlib import Path

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.lang import CellSpec
from rnnbench.lang.mistakes import last_line, line_with, mistake
from rnnbench.rooms import make_callable


@cache
def _plugins() -> dict[str, CellSpec]:
    """Cells that other packages publish under the entry-point group ``rnnbench.cells``."""
    found = {}
    for point in entry_points(group="rnnbench.cells"):
        spec = point.load()
        if not isinstance(spec, CellSpec):
            raise RnnbenchError(f"entry point {point.name!r} of rnnbench.cells is {type(spec).__name__}, not a @cell")
        found[point.name] = spec
    return found


def cells() -> list[str]:
    """Return the names of all cells, sorted."""
    return sorted([*_files(), *_plugins()])


@cache
def _files() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def get_cell(name: "str | CellSpec") -> CellSpec:
    """Return the cell of this name, or ``name`` itself when it is one; "path/file.py:cell" is loaded from the file."""
    if isinstance(name, CellSpec):
        return name
    if isinstance(name, str) and ".py:" in name:
        return load_cell(name)
    if not isinstance(name, str):
        raise unknown("cell", name, cells())
    if name in _plugins():
        return _plugins()[name]
    if name not in cells():
        raise unknown("cell", name, cells())
    return getattr(importlib.import_module(f"{__name__}.{name}"), name)


_loaded: dict[str, CellSpec] = {}


def cell_of_record(name: str) -> CellSpec:
    """Return the cell that a record names, and execute nothing for it: results may come from somebody else.

    A cell of a file is returned if this process has loaded that file already. Raises RnnbenchError for any other.
    """
    if ".py:" not in name:
        return get_cell(name)
    if name not in _loaded:
        raise RnnbenchError(f"cell {name!r}: its file has not been loaded here")
    return _loaded[name]


def load_cell(reference: str) -> CellSpec:
    """Load a user's own cell from "path/to/mine.py:my_cell"; the file is executed and the cell traced.

    Raises RnnbenchError, with file and line, for a file that does not run, a step that is not a cell, and structures
    of weights that no size can have.
    """
    path, _, name = reference.rpartition(":")
    if not path or not Path(path).is_file():
        raise RnnbenchError(f"cell {reference!r}: no file {path!r}; write path/to/file.py:cell")
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if module_spec is None or module_spec.loader is None or module_spec.origin is None:
        raise RnnbenchError(f"cell {reference!r}: {path!r} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    linecache.checkcache(module_spec.origin)  # the file may have been edited since an earlier load
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:  # whatever the author's file may raise
        line = last_line(error, module_spec.origin)
        place = path if line is None else f"{path}:{line}"
        said = error.msg if isinstance(error, SyntaxError) else error
        raise RnnbenchError(f"cell {reference!r}: running {place} failed: {said}") from error
    found = [n for n, v in vars(module).items() if isinstance(v, CellSpec)]
    spec = vars(module).get(name)
    if not isinstance(spec, CellSpec):
        raise unknown(f"cell in {path}", name, found) if found else RnnbenchError(f"{path} defines no @cell")
    _require_possible(spec)
    _loaded[reference] = spec
    return spec


def _require_possible(spec: CellSpec) -> None:
    """Raise what is wrong with a cell's equations, or with structures of its weights at any size."""
    spec.trace()
    divisible = lcm(*range(1, 65))  # by any number of heads
    try:
        spec.param_count(divisible, divisible)
    except RnnbenchError as error:
        code = spec.function.__code__  # type: ignore[attr-defined]
        raise mistake(spec.name, code, line_with(code, "structures"), error) from error


make_callable(__name__, cells)
