"""Records in the form of docs/contract.md, made of numbers that are easy to check by hand. None was measured."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

MACHINE = {
    "cpu": "Test CPU",
    "cores": 2,
    "memory_bytes": 8 * 2**30,
    "packages": {"numba": "0.68.0"},
    "commit": "abc123",
}


def record(kind: str, **fields: Any) -> dict[str, Any]:
    """Return a record with the fields that every kind has."""
    body = {"schema": 1, "kind": kind, "created": "2026-01-01T00:00:00+00:00", "where": MACHINE, **fields}
    return {"key": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(), **body}


def time_record(
    cell: str,
    samples: Sequence[float],
    contender: str = "rnnbench.cpu",
    mode: str = "training",
    shape: tuple[int, int, int, int] = (100, 32, 128, 128),
    **fields: Any,
) -> dict[str, Any]:
    """Return a time record; ``samples`` in seconds, an odd number of them in ascending order."""
    sizes = dict(zip("TBIH", shape, strict=True))
    found = {"samples": list(samples), "median": samples[len(samples) // 2]}
    checked = {"check": {"max_error": 1e-7, "tolerance": 1e-5}, "threads": 2, "dtype": "float32"}
    return record("time", cell=cell, contender=contender, mode=mode, **sizes, **found, **{**checked, **fields})


def speed_record(
    cell: str,
    times: Mapping[str, tuple[Sequence[float], float]],
    mode: str = "training",
    shape: tuple[int, int, int, int] = (100, 32, 128, 128),
    beside: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a row of the speed table; ``times``: contender -> samples in ascending order, and FLOPs of a call.

    ``beside``: the contenders that ran another cell.
    """
    cells = {name: (beside or {}).get(name, cell) for name in times}
    taken = [
        {
            "contender": name,
            "cell": cells[name],
            "samples": list(samples),
            "median": samples[len(samples) // 2],
            "calls_per_sample": 1,
            "check": {"max_error": 1e-7, "tolerance": 1e-5},
            "flops": flops,
        }
        for name, (samples, flops) in times.items()
    ]
    found = {"times": taken, "contest": [list(one) for one in cells.items()], "excluded": {}, "absent": {}}
    asked = {**dict(zip("TBIH", shape, strict=True)), "mode": mode, "threads": 2, "dtype": "float32"}
    return record("speed", cell=cell, **{**asked, "recurrence": "dense", "bytes": 1e6, **found, **fields})


def memory_record(
    cell: str, workspace: int | None, parameters: int, growth: int | None, **fields: Any
) -> dict[str, Any]:
    """Return a memory record of training at the usual shape; all in bytes."""
    sizes = {"T": 100, "B": 32, "I": 128, "H": 128, "training": True, "dtype": "float32", "contender": "rnnbench.cpu"}
    found = {"workspace_bytes": workspace, "parameter_bytes": parameters, "peak_growth_bytes": growth}
    return record("memory", cell=cell, **{**sizes, **found, **fields})


def compile_record(cell: str, cold: float, cached: float, steady: float) -> dict[str, Any]:
    """Return a compile record; all in seconds."""
    found = {"cold_seconds": cold, "cached_seconds": cached, "steady_seconds": steady}
    return record("compile", cell=cell, contender="rnnbench.cpu", dtype="float32", **found)


def trial_record(
    cell: str, task: str, length: int | None, seed: int, solved: bool, score: float | None = None, **settings: Any
) -> dict[str, Any]:
    """Return a trial's record; ``settings`` are further fields of the Trial."""
    trial = {"cell": cell, "task": task, "length": length, "seed": seed, "hidden": 32, "steps": 600, "clip": 1.0}
    found = {"score": score if score is not None else (0.97 if solved else 0.3), "loss": 0.01, "solved": solved}
    found |= {"chance": 1 / 6, "chance_of": "loss", "chance_score": 0.1, "solved_at": 0.95, "diverged": False}
    found |= {"steps": 600, "steps_to_solve": 400 if solved else None, "seconds": 1.5, "params": 1234}
    curve = [[step, 1.0 / step] for step in range(1, 600, 2)]
    return record("trial", trial={**trial, "init": None, **settings}, curve=curve, clip=1.0, init=None, **found)


def small_run() -> list[dict[str, Any]]:
    """Return a run of elman_tanh (fastest, smallest) and gru (remembers longest, once slower than its peer)."""
    records = []
    for size in (64, 128, 256):
        for mode in ("forward", "training"):
            shape = (100, 32, 128, size)
            unit = size * 1e-5
            records.append(time_record("elman_tanh", [unit, 1.1 * unit, 1.2 * unit], mode=mode, shape=shape))
            records.append(time_record("gru", [3 * unit, 3.3 * unit, 3.6 * unit], mode=mode, shape=shape))
            records.append(time_record("gru", [6 * unit, 6.6 * unit, 7.2 * unit], "torch", mode=mode, shape=shape))
    records.append(time_record("gru", [0.003, 0.0033, 0.0036], shape=(25, 32, 128, 128)))
    records.append(time_record("gru", [0.0015, 0.00165, 0.0018], "torch", shape=(25, 32, 128, 128)))
    records.append(memory_record("elman_tanh", 2 * 2**20, 4 * 32_896, 5 * 2**20))
    records.append(memory_record("gru", 6 * 2**20, 4 * 98_688, 9 * 2**20))
    records += [compile_record("elman_tanh", 3.0, 0.9, 2e-4), compile_record("gru", 5.0, 1.0, 6e-4)]
    for seed in (0, 1):
        records += [trial_record("gru", "adding", length, seed, solved=True) for length in (10, 20, 40)]
        records += [trial_record("elman_tanh", "adding", length, seed, solved=length == 10) for length in (10, 20, 40)]
        records += [trial_record(cell, "digits_row", 8, seed, solved=True) for cell in ("gru", "elman_tanh")]
    return records
