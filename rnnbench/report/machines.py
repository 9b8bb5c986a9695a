"""On what machines and versions records were measured, so that those of several are never taken for one."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rnnbench.report.quantities import listed

_OF_A_MACHINE = ("time", "memory", "compile", "speed", "limits")
_MACHINE = ("cpu", "cores", "logical_cores", "memory_bytes", "os", "vector_width")


def machine_of(record: Mapping[str, Any]) -> str:
    """Return what tells the machine of a record from others; "" where the record does not say."""
    where = record.get("where") or {}
    return json.dumps([where.get(name) for name in _MACHINE]) if where else ""


def state_of(record: Mapping[str, Any]) -> str:
    """Return what tells machine, versions and commit of a record from others: times are comparable within one."""
    return json.dumps(record.get("where") or {}, sort_keys=True)


def name_of(record: Mapping[str, Any]) -> str:
    """Return a machine in words: its processor and cores."""
    where = record.get("where") or {}
    cores = where.get("cores")
    told = f"{where.get('cpu') or 'a processor that is not recorded'}"
    return f"{told}, {cores} core{'' if cores == 1 else 's'}" if cores else told


def version_of(record: Mapping[str, Any]) -> str:
    """Return the version of rnnbench in words: its number and, from a checkout, the commit."""
    where = record.get("where") or {}
    number = (where.get("packages") or {}).get("rnnbench") or "of unknown number"
    commit = where.get("commit")
    changed = " with changes" if where.get("modified") else ""
    return f"rnnbench {number}" + (f" at commit {commit[:10]}{changed}" if isinstance(commit, str) else "")


def machines_note(records: Iterable[Mapping[str, Any]]) -> str:
    """Return one sentence where times or memory were measured on several machines, else ""."""
    measured = [record for record in records if record["kind"] in _OF_A_MACHINE and record.get("where")]
    told = names(measured)
    if len(told) < 2:
        return ""
    return (
        f"Times and memory are from {len(told)} machines, {listed(told)}: rows of different machines are not "
        "comparable, and where several measured the same, the newest counts."
    )


def names(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return each machine of the records in words, once; two that read alike are numbered."""
    told: dict[str, str] = {}
    for record in records:
        told.setdefault(machine_of(record), name_of(record))
    listed = list(told.values())
    if len(set(listed)) == len(listed):
        return listed
    return [f"{name} (machine {place})" for place, name in enumerate(listed, 1)]
