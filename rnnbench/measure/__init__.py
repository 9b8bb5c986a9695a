"""Measures: time, compile time and memory of engines and peers; each returns a record with its raw samples."""

from rnnbench.measure.compile import compile_times
from rnnbench.measure.limits import machine_limits
from rnnbench.measure.machine import available_cores, machine_facts
from rnnbench.measure.memory import memory_use
from rnnbench.measure.ratio import Ratio, paired_ratio
from rnnbench.measure.time import Contest, time_contenders

__all__ = [
    "Contest",
    "Ratio",
    "available_cores",
    "compile_times",
    "machine_facts",
    "machine_limits",
    "memory_use",
    "paired_ratio",
    "time_contenders",
]
