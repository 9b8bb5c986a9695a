"""A page in Markdown with every task: what it is, its loss, its chance level, when it counts as solved, its source."""

import inspect
import re
from collections.abc import Iterable

from rnnbench.report.tables import markdown_text
from rnnbench.tasks import Task, definition, describe, get_task, source, task_class, tasks

LOSSES = {"regression": "squared error", "classification": "cross-entropy, nats"}


def tasks_page(names: Iterable[str] | None = None) -> str:
    """Return the page for the tasks of these names (None: all), chance levels at their default lengths."""
    chosen = list(tasks() if names is None else names)
    lines = [
        "# Tasks",
        "",
        f"All {len(chosen)} tasks, from their files under `rnnbench/tasks/`: `rnnbench list tasks --markdown` writes "
        "this page. Made data come from a seed and are the same for every cell; training, validation and test never "
        "share a stream. Chance is what the best prediction reaches that does not look at the sequence, at the default "
        "length; a score of 1 is perfect; a trial counts as solved from the given score on. Where a file of the user's "
        "own is the data, chance is measured on its test part.",
        "",
        "| task | what it is | T | loss | chance: loss | chance: score | solved at | source |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for name in chosen:
        task = task_class(name)
        row = [f"[`{name}`](#{name})", _prose(describe(name)), str(task.default_length), _loss(task), *_chance(name)]
        lines.append(f"| {' | '.join([*row, f'{task.solved_at:g}', markdown_text(short_source(name))])} |")
    for name in chosen:
        lines += ["", f"## {name}"]
        own, *bases = definition(name).items()
        lines += [text for paragraph in own[1] for text in ("", _prose(paragraph))]
        for base, paragraphs in bases:
            first, *rest = map(_prose, paragraphs)
            lines += ["", f"`{base}`: {first}", *[text for paragraph in rest for text in ("", paragraph)]]
        lines += ["", f"Source: {_prose(source(name))}"]
    return "\n".join(lines) + "\n"


def short_source(name: str) -> str:
    """Return author and year of the paper that a task's source begins with."""
    found = re.match(r"[^:;]*? \d{4}", source(name))
    return found[0] if found else ""


def _loss(task: type[Task]) -> str:
    return task.loss_name or LOSSES[task.kind]


def _chance(name: str) -> tuple[str, str]:
    if "argument" in inspect.signature(task_class(name)).parameters:
        return "of the data", "of the data"
    task = get_task(name)
    return f"{task.chance_loss:.4g}", f"{task.chance_score:.4g}"


def _prose(text: str) -> str:
    """Return a paragraph of a docstring as Markdown on one line: code stays code, all else is shown as it is."""
    parts = " ".join(text.split()).split("``")
    # Every second part stood between backticks. Leading and trailing spaces part words from code.
    return "".join(f"`{part}`" if place % 2 else _escaped(part) for place, part in enumerate(parts))


def _escaped(text: str) -> str:
    inner = markdown_text(text)
    before, after = " " * text.startswith(" "), " " * (text.endswith(" ") and bool(inner))
    return f"{before}{inner}{after}"
