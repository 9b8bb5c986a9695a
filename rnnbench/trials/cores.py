"""How many trials can run at a time here."""

import os


def available_cpus() -> int:
    """Return the number of logical processors that this process may use: one trial each."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
