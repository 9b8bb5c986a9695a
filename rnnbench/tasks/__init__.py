"""Tasks that measure what a recurrent cell can remember and compute: one file each, its stem the task's name."""

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Any

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.rooms import make_callable
from rnnbench.tasks.task import SPLITS, Batch, Task, summary

__all__ = ["SPLITS", "Batch", "Task", "definition", "describe", "get_task", "source", "task_class", "tasks"]


def tasks() -> list[str]:
    """Return the names of all tasks, sorted: the files of this folder but for the base class and ``_`` modules."""
    return [*_files()]


@cache
def _files() -> tuple[str, ...]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if name != "task" and name[0] != "_"))


def task_class(name: str) -> type[Task]:
    """Return the class of a task without making one; what follows a colon in ``name`` is not looked at.

    Raises RnnbenchError, with the nearest names, for a name that no task has.
    """
    stem = str(name).partition(":")[0]
    known = tasks()
    if stem not in known:
        raise unknown("task", stem, known)
    return importlib.import_module(f"{__name__}.{stem}").TASK


def describe(name: str) -> str:
    """Return one sentence on a task: what goes in and what is asked for."""
    return summary(task_class(name))


def definition(name: str) -> dict[str, list[str]]:
    """Return the whole definition of a task, paragraph by paragraph: under its class's name, and under its bases'."""
    classes = task_class(name).__mro__
    described = classes[: classes.index(Task)]
    return {one.__name__: inspect.cleandoc(one.__doc__).split("\n\n") for one in described if one.__doc__}


def source(name: str) -> str:
    """Return where a task comes from, and what public code does otherwise: its file's docstring after the title."""
    text = inspect.cleandoc(inspect.getmodule(task_class(name)).__doc__ or "")
    return " ".join(text.partition("\n\n")[2].split())


def get_task(name: str, length: int | None = None, **options: Any) -> Task:
    """Make a task from its name.

    ``name``: one of ``tasks()``; a task on the user's data takes an argument after a colon, as in
    "forecast:prices.csv:close". ``length``: see the task's docstring (None: its default). ``options``: the task's own,
    such as forecast's ``window``.
    Raises RnnbenchError for an unknown name or option, a missing or superfluous argument, or a length out of range.
    """
    task = task_class(name)
    stem, colon, argument = str(name).partition(":")
    accepted = inspect.signature(task).parameters.keys() - {"length", "argument"}
    for option in options:
        if option not in accepted:
            if not accepted:
                raise RnnbenchError(f"task {stem!r} takes no options, got {option!r}")
            raise unknown(f"option of task {stem!r}", option, accepted)
    if "argument" in inspect.signature(task).parameters:
        options["argument"] = argument
    elif colon:
        raise RnnbenchError(f"task {stem!r} takes nothing after its name, got {name!r}")
    return task(length=length, **options)


make_callable(__name__, tasks)
