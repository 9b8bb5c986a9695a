"""Recurrent cells, one per file; the file's stem is the cell's name."""

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.lang import CellSpec
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
    return sorted([m.name for m in pkgutil.iter_modules(__path__)] + list(_plugins()))


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


def load_cell(reference: str) -> CellSpec:
    """Load a user's own cell from "path/to/mine.py:my_cell"; the file is executed."""
    path, _, name = reference.rpartition(":")
    if not path or not Path(path).is_file():
        raise RnnbenchError(f"cell {reference!r}: no file {path!r}; write path/to/file.py:cell")
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if module_spec is None or module_spec.loader is None:
        raise RnnbenchError(f"cell {reference!r}: {path!r} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise RnnbenchError(f"cell {reference!r}: running {path!r} failed: {error}") from error
    found = [n for n, v in vars(module).items() if isinstance(v, CellSpec)]
    spec = vars(module).get(name)
    if not isinstance(spec, CellSpec):
        raise unknown(f"cell in {path}", name, found) if found else RnnbenchError(f"{path} defines no @cell")
    return spec


make_callable(__name__, cells)
