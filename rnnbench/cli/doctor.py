"""The command that says what this machine is, what runs on it, and what to install."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnbench.cli.text import console, print_states, print_table, tell


def doctor() -> None:
    """Show this machine, which engines and peers run on it or why not, and what to install."""
    from rnnbench.engines import engines
    from rnnbench.measure import machine_facts
    from rnnbench.peers import peers

    print_table("This machine", {"what": False, "value": False}, _machine(machine_facts()))
    found = {"Engines": engines(), "Peers": peers()}
    for title, states in found.items():
        print_states(title, states)
    if not found["Peers"] or None not in found["Peers"].values():
        advice = 'No peer to compare speeds with: pip install "rnnbench[peers]" (or, in a checkout, ".[peers]").'
    else:
        advice = "Nothing is missing for a run: rnnbench run --quick"
    tell(console(), advice)


def _machine(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    from rnnbench.engines.cpu.cache import cache_folder
    from rnnbench.report.quantities import size

    rows = []
    for name, value in facts.items():
        if name == "memory_bytes":
            rows.append(("memory", size(value)))
        elif name == "packages":
            rows += list(value.items())
        elif value is not None:
            rows.append((name.replace("_", " "), str(value)))
    folder = cache_folder()
    rows.append(("kernel cache", str(folder)))
    rows.append(("kernel cache size", size(folder_bytes(folder))))
    return rows


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files under ``folder``; 0 where there is no such folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
