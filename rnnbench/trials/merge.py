"""Results files of several runs and machines become one; no record twice, none lost without being named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.store import Store

_WHEN_AND_WHERE = ("created", "seconds", "where", "worker")
"""What may differ between two records of the same result: it is no part of it."""


@dataclass(frozen=True)
class Conflict:
    """Two records of one key that came to different results: the one of ``kept`` stays, that of ``dropped`` does not.

    ``differing``: the fields that differ.
    """

    key: str
    what: str
    kept: Path
    dropped: Path
    differing: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """What came of a merge: records ``added``, those that were there ``twice`` with the same result, and conflicts.

    ``machines``: how many machines the records of ``added`` are from, as their "where" tells.
    """

    added: int
    twice: int
    conflicts: list[Conflict]
    machines: int


def merge(paths: Sequence[str | Path], output: str | Path) -> Merged:
    """Write the records of all results files into a new one, in the order of ``paths``.

    Measurements of different machines or versions have different keys, so that each keeps its own; trials have the same
    key wherever they ran, since their result is to be the same: of two, the first file's stays, and a result that
    differs is a ``Conflict``. The files are read to the end before anything is written, and stay as they are.
    ``output`` appears when it is complete. Raises RnnbenchError for a file that cannot be read, and for an ``output``
    that exists.
    """
    files, new = [_file(path) for path in paths], Path(output)
    if len(files) < 2:
        raise RnnbenchError(f"merge takes two or more results files, got {len(files)}")
    if new.exists():
        raise RnnbenchError(f"{new} exists already: name a new file to merge into")
    held: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    conflicts, twice = [], 0
    for file in files:
        with Store(file, read_only=True) as store:
            for record in store.records():
                earlier = held.setdefault(record["key"], (file, record))
                if earlier[1] is record:
                    continue
                differing = _differing(earlier[1], record)
                if differing:
                    conflicts.append(Conflict(record["key"], _what(record), earlier[0], file, differing))
                else:
                    twice += 1
    _write(new, [dict(record) for _, record in held.values()])
    machines = {repr(record["where"]) for _, record in held.values() if record.get("where")}
    return Merged(len(held), twice, conflicts, len(machines))


def _write(new: Path, records: Sequence[dict[str, Any]]) -> None:
    beside = new.with_name(f"{new.name}.part")
    if beside.exists():
        raise RnnbenchError(f"{beside} is in the way: another merge is under way, or one was stopped; remove it first")
    try:
        with Store(beside) as store:
            for record in records:
                store.add(record)
        beside.rename(new)
    except OSError as error:
        raise RnnbenchError(
            f"results file {new} cannot be written: {(error.strerror or str(error)).lower()}"
        ) from error
    finally:
        for left in new.parent.glob(f"{beside.name}*"):
            left.unlink(missing_ok=True)


def _file(path: str | Path) -> Path:
    """Return a results file, also where its folder is named."""
    given = Path(path)
    return given / "results.sqlite" if given.is_dir() else given


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    names = sorted({*one, *other} - set(_WHEN_AND_WHERE))
    return tuple(name for name in names if one.get(name) != other.get(name))


def _what(record: Mapping[str, Any]) -> str:
    """Return what a record is about, in words."""
    trial = record.get("trial")
    if isinstance(trial, Mapping):
        length = f" at T={trial['length']}" if trial.get("length") else ""
        return f"{trial.get('cell')} on {trial.get('task')}{length}, seed {trial.get('seed')}"
    return f"{record['kind']} of {record['cell']}" if "cell" in record else str(record["kind"])
