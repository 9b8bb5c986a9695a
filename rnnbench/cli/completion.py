"""What the shell is offered after a key: names of cells, tasks, engines and peers, none of them imported."""

import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_type_hints

# Names that no file carries; a test compares them with what there is.
ENGINES = ("cpu", "cuda", "cuda_steps", "reference")
PEERS = ("jax", "onnxruntime", "torch", "torch_compile", "torchrecurrent")


def cells() -> list[str]:
    """Return the names of all cells, sorted; those of other packages by their entry points, which are not loaded."""
    return sorted([*_stems("cells"), *(point.name for point in entry_points(group="rnnbench.cells"))])


def tasks() -> list[str]:
    """Return the names of all tasks, sorted."""
    return [name for name in _stems("tasks") if name != "task"]


def presets() -> list[str]:
    """Return the names of the plans that come with the package, sorted."""
    return sorted(path.stem for folder in _folders("trials") for path in Path(folder, "presets").glob("*.toml"))


def shapes() -> Iterable[str]:
    """Return the kinds of shapes that ``speed`` knows."""
    from rnnbench.cli.speed_plan import SHAPES

    return SHAPES


def modes() -> Iterable[str]:
    """Return the modes in which a cell is timed."""
    from rnnbench.cli.plan import MODES

    return MODES


# The parameter of a command -> what its values name.
NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "cell": cells,
    "cells": cells,
    "names": cells,
    "task": tasks,
    "tasks": tasks,
    "engine": lambda: ENGINES,
    "engines": lambda: ENGINES,
    "peers": lambda: PEERS,
    "reference": cells,
    "baseline": cells,
    "preset": presets,
    "shapes": shapes,
    "modes": modes,
}


def offer_names(command: Callable[..., Any]) -> None:
    """Let every parameter of ``command`` whose name says what it takes, and that has no completion yet, complete it."""
    for name, hint in get_type_hints(command, include_extras=True).items():
        for declared in getattr(hint, "__metadata__", ()):
            if name in NAMES and getattr(declared, "autocompletion", name) is None:
                declared.autocompletion = _completer(NAMES[name])


def _completer(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        """Return what the last of the names in a list with commas may become, the others kept in front of it."""
        before, comma, _ = incomplete.rpartition(",")
        taken = before.split(",")
        return [f"{before}{comma}{name}" for name in names() if name not in taken]

    return complete


def _stems(room: str) -> list[str]:
    """Return the names of a room's public files, sorted; the room is not imported."""
    return sorted(module.name for module in pkgutil.iter_modules(_folders(room)) if not module.name.startswith("_"))


def _folders(room: str) -> list[str]:
    """Return where a room's files are."""
    found = find_spec(f"rnnbench.{room}")
    return list((found and found.submodule_search_locations) or ())
