"""The command that says what this machine is, what runs on it, and what to install."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rnnbench.cli import config
from rnnbench.cli.text import Json, console, print_json, print_states, print_table, tell


def doctor(
    limits: Annotated[
        bool,
        typer.Option("--limits", help="Also measure what this machine can do at most; takes about 20 seconds."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show this machine, which engines and peers run on it or why not, what to install, and the configuration."""
    from rnnbench.engines import engines
    from rnnbench.measure import machine_facts
    from rnnbench.peers import peers

    facts = machine_facts()
    found = {"Engines": engines(), "Peers": peers()}
    if as_json:
        told = {"machine": facts, **{title.lower(): states for title, states in found.items()}}
        print_json({**told, "splits": _splits_as_json(), **_configuration(), **_limits(limits)})
        return
    print_table("This machine", {"what": False, "value": False}, _machine(facts))
    for title, states in found.items():
        print_states(title, states)
    if not found["Peers"] or None not in found["Peers"].values():
        advice = 'No peer to compare speeds with: pip install "rnnbench[peers]" (or, in a checkout, ".[peers]").'
    else:
        advice = "Nothing is missing for a run: rnnbench run --quick"
    columns = {"LSTM at T, B, I, H": False, "the cpu engine's": False}
    print_table("How a call is split", columns, _splits())
    if limits:
        record = _limits(True)["limits"]
        heading = f"Limits, median (best) of {len(record['limits'][0]['samples'])} samples, {record['dtype']}"
        columns = {"what": False, **dict.fromkeys(_thread_counts(record).values(), True)}
        print_table(heading, columns, limit_rows(record))
        if record["caches_from"] == "assumed":
            tell(console(), "The system does not tell the sizes of the caches: levels are what most machines have.")
    _print_configuration()
    tell(console(), advice)
    if not limits:
        tell(console(), "What this machine can do at most (about 20 seconds): rnnbench doctor --limits")


def _limits(wanted: bool) -> dict[str, Any]:
    """Return {"limits": record}, measured now where it is ``wanted``."""
    from rnnbench.measure import machine_limits

    if not wanted:
        return {}
    tell(console(stderr=True), "Measuring the limits of this machine, about 20 seconds ...")
    return {"limits": machine_limits()}


def _configuration() -> dict[str, Any]:
    """Return the file of options that is in force, and what it says."""
    found = config.in_force
    path = None if found.path is None else str(found.path)
    return {"configuration": {"file": path, "options": dict(found.rows())}}


def _print_configuration() -> None:
    found = config.in_force
    if found.path is None:
        tell(console(), "No configuration: no pyproject.toml from here upwards has [tool.rnnbench].")
        return
    tell(console(), f"Configuration, from {found.path}")
    for key, value in found.rows():
        tell(console(), f"  {key} = {value!r}")


def _splits() -> list[tuple[str, str]]:
    from rnnbench.cells import get_cell
    from rnnbench.cli.speed_plan import SHAPES
    from rnnbench.engines.cpu import how_split

    program = get_cell("lstm").program
    return [(", ".join(map(str, sizes)), how_split(program, sizes)) for group in SHAPES.values() for sizes in group]


def _splits_as_json() -> list[dict[str, Any]]:
    return [{"sizes": sizes, "split": split} for sizes, split in _splits()]


def _thread_counts(record: Mapping[str, Any]) -> dict[int, str]:
    counts = sorted({row["threads"] for row in record["limits"]})
    return {count: "1 thread" if count == 1 else f"{count} threads" for count in counts}


def limit_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table of limits: what, and for each number of threads "median (best) unit"."""
    from rnnbench.report.quantities import number, size

    n = record["gemm_size"]
    names = {
        "fma": "multiply-adds in registers",
        "gemm": f"matrix product, {n} × {n}, by NumPy's BLAS",
        "fma_latency": "from a multiply-add to the next that needs it",
    }
    units = {"FLOP/s": (1e-9, "GFLOP/s"), "B/s": (1e-9, "GB/s"), "s": (1e9, "ns")}
    rows: dict[str, dict[int, str]] = {}
    for row in record["limits"]:
        name = names.get(row["quantity"]) or f"reads from {row['level']}, {size(row['working_set'])} a thread"
        factor, unit = units[row["unit"]]
        told = f"{number(row['median'] * factor)} ({number(row['best'] * factor)}) {unit}"
        rows.setdefault(name, {})[row["threads"]] = told
    return [[name, *(found.get(count, "") for count in _thread_counts(record))] for name, found in rows.items()]


def _machine(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    from rnnbench.engines.cuda.driver import describe
    from rnnbench.engines.kernel_folder import cache_folder
    from rnnbench.report.quantities import size

    rows = []
    for name, value in facts.items():
        if name == "memory_bytes":
            rows.append(("memory", size(value)))
        elif name == "packages":
            rows += list(value.items())
        elif value is not None:
            rows.append((name.replace("_", " "), str(value)))
    rows.append(("GPU", describe()))
    folder = cache_folder()
    rows.append(("kernel cache", str(folder)))
    rows.append(("kernel cache size", size(folder_bytes(folder))))
    return rows


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files under ``folder``; 0 where there is no such folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
