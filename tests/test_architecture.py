"""The arrows between rooms, the size of files and the weight of an import, as docs/contract.md fixes them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rnnbench

PACKAGE = Path(rnnbench.__file__).parent
CHECKOUT = Path(__file__).parents[1]

# A room may import the rooms named here and itself.
ARROWS = {
    "lang": set(),
    "cells": {"lang"},
    "engines": {"lang", "cells"},
    "nn": {"lang", "cells", "engines"},
    "tasks": {"nn"},
    "trials": {"lang", "cells", "engines", "nn", "tasks"},
    "measure": {"lang", "cells", "engines", "nn", "tasks", "trials", "peers"},
    "peers": {"lang", "cells", "engines", "nn"},
    "report": {"lang", "cells", "engines", "nn", "tasks", "trials", "measure", "peers"},
    "regression": set(),
    # Has missing trials run, which is the business of trials, and answers, which is that of report.
    "compare": {"lang", "cells", "engines", "nn", "tasks", "trials", "measure", "report"},
    "cli": {"lang", "cells", "engines", "nn", "tasks", "trials", "measure", "peers", "report", "regression", "compare"},
}
# These belong to all.
SHARED = {"errors", "rooms", "__version__"}
# What the compiler and the cells may take from outside the standard library: nothing.
PURE = ("lang", "cells")
HEAVY = ("numba", "llvmlite", "numpy", "pandas", "scipy", "pydantic", "altair", "torch", "sklearn", "typer", "rich")
BLOCKED = ("pydantic", "altair", "pandas")


def files_of(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imported_modules(file: Path) -> list[str]:
    """Return the dotted name of every module that ``file`` imports anywhere, also inside functions."""
    package = ["rnnbench", *file.relative_to(PACKAGE).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from rnnbench import cells` names a room in the second half.
            names += [f"{module}.{alias.name}" for alias in node.names] if module == "rnnbench" else [module]
    return names


def test_every_room_is_known():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_the_rooms_below_it(room):
    allowed = {room} | ARROWS[room] | SHARED
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files_of(room)
        for name in imported_modules(file)
        if name.split(".")[0] == "rnnbench" and name.split(".")[1:2] and name.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("room", ARROWS)
def test_no_room_goes_through_the_public_front(room):
    """The package's own name sees every room: only its version and place are anybody's business."""
    wrong = [
        f"{file.relative_to(PACKAGE)}:{node.lineno} rnnbench.{node.attr}"
        for file in files_of(room)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rnnbench"
        if node.attr not in {"__version__", "__file__"}
    ]
    assert not wrong


def test_the_arrows_have_no_cycle():
    settled: set[str] = set()
    waiting = dict(ARROWS)
    while waiting:
        ready = {room for room, needs in waiting.items() if needs <= settled}
        assert ready, f"these rooms import one another: {sorted(waiting)}"
        settled |= ready
        waiting = {room: needs for room, needs in waiting.items() if room not in ready}


@pytest.mark.parametrize("room", PURE)
def test_language_and_cells_are_plain_python(room):
    known = sys.stdlib_module_names | {"rnnbench"}
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in files_of(room)
        for name in imported_modules(file)
        if name.split(".")[0] not in known
    ]
    assert not wrong


def test_no_file_is_over_400_lines():
    files = [*PACKAGE.rglob("*.py"), *(CHECKOUT / "tests").rglob("*.py"), *(CHECKOUT / "benchmarks").rglob("*.py")]
    assert len(files) > 50
    long = {str(file): lines for file in files if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def test_no_kernel_takes_over_ten_arguments():
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("jit" in ast.unparse(mark) for mark in node.decorator_list):
                count = len(node.args.posonlyargs) + len(node.args.args)
                if count > 10:
                    wrong.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name} takes {count}")
    assert not wrong


def python(code: str) -> str:
    """Run ``code`` in a fresh interpreter that sees the same packages, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=dict(os.environ), cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_rnnbench_pulls_in_nothing_heavy():
    loaded = python(
        f"import sys; before = set(sys.modules); import rnnbench; "
        f"print(*[name for name in {HEAVY} if name in sys.modules and name not in before])"
    )
    assert loaded == ""


def test_importing_rnnbench_takes_under_300_milliseconds():
    code = "import time; start = time.perf_counter(); import rnnbench; print(time.perf_counter() - start)"
    # The best of several: other work on the machine only ever adds to it.
    assert min(float(python(code)) for _ in range(5)) < 0.3


def test_the_lower_rooms_need_no_pydantic_altair_or_pandas():
    modules = []
    for room in ("lang", "cells", "engines", "measure"):
        for file in files_of(room):
            parts = file.relative_to(PACKAGE).with_suffix("").parts
            modules.append(".".join(["rnnbench", *[part for part in parts if part != "__init__"]]))
    assert len(modules) > 20
    printed = python(
        "import importlib, sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {BLOCKED}:\n"
        "            raise ModuleNotFoundError(name + ' is blocked in this test')\n"
        "sys.meta_path.insert(0, Blocker())\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "print('imported')"
    )
    assert printed == "imported"
