"""Records: plain JSON dicts that say what was measured, where, how, and every raw number."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rnnbench.cells import get_cell
from rnnbench.measure.machine import machine_facts

SCHEMA = 1


def key_of(kind: str, asked: Mapping[str, Any]) -> str:
    """Return the key of a record: a hash of what is asked on which machine, known before it is measured.

    ``asked`` holds the fields that describe the measurement, none that it finds out. Of a checkout with changes that
    are not committed, the key knows only that there are some.
    """
    content = {"schema": SCHEMA, "kind": kind, "where": machine_facts(), **asked}
    if "cell" in asked:  # a file of the user's own keeps its name when its equations change
        content["equations"] = get_cell(asked["cell"]).digest
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def new_record(kind: str, asked: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of one measurement: ``asked`` and ``found`` with key, machine and time of day (UTC)."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "key": key_of(kind, asked),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **asked,
        **found,
        "where": machine_facts(),
    }
