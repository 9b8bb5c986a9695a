"""Runs one benchmark of an asv suite, sample by sample, when asked over a socket.

This file is started as a script by the Python of an asv environment, in which this package may be of another version or
missing. So it imports only the standard library and asv_runner, which asv installs into each of its environments.

    python sampler.py SOCKET LOG BENCHMARK_DIR BENCHMARK_ID

Messages are lines of JSON. The first one out says how the setup went: ``{"state": "ready", ...}``, ``{"state":
"skipped", ...}`` or ``{"state": "failed", "reason": ...}``. Then each ``{"calibrate": true}`` is answered with the
number of calls in a sample, and each ``{"sample": number}`` with the sample's value and, for a time, the seconds of the
reference workload right before it. The end of the connection ends the process.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import socket
import sys
import time
import traceback

REFERENCE_BYTES = 1 << 18
# Many short samples find more quiet moments of a shared machine than a few long ones.
MOST_SAMPLE_SECONDS = 0.005
REST_SECONDS, REST_MOST = 0.004, 0.5
ONCE = (1, 1, 60.0)  # at least and at most so many samples, and seconds for them


class Reference:
    """A fixed workload of about a millisecond on every core, of arithmetic and of reading memory.

    It is the same bytes of work whatever commit is measured, so its time says how fast the machine is at this moment.
    zlib and hashlib work without the interpreter's lock, so that each thread has a core of its own.
    """

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._cores)
        self._bytes = bytes(range(256)) * (REFERENCE_BYTES // 256)

    def seconds(self) -> float:
        """Return the seconds until the last core has done its share."""
        begun = time.perf_counter()
        for done in [self._pool.submit(self._work) for _ in range(self._cores)]:
            done.result()
        return time.perf_counter() - begun

    def _work(self) -> None:
        import hashlib
        import zlib

        hashlib.sha256(self._bytes)
        for _ in range(2):
            zlib.adler32(self._bytes)
            zlib.crc32(self._bytes)


def come_to_rest() -> None:
    """Return once this process hardly uses a core: threads that spin after their work would slow the other side."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < REST_MOST:
        busy, since = time.process_time(), time.perf_counter()
        time.sleep(REST_SECONDS)
        if time.process_time() - busy < 0.2 * (time.perf_counter() - since):
            return


class Sampler:
    """One benchmark at one combination of parameters, set up."""

    def __init__(self, benchmark_dir: str, benchmark_id: str) -> None:
        from asv_runner.discovery import get_benchmark_from_name

        self.benchmark = get_benchmark_from_name(benchmark_dir, benchmark_id)
        cache = None
        if self.benchmark.setup_cache_key is not None:
            with open("cache.pickle", "rb") as file:
                cache = pickle.load(file)
        if hasattr(self.benchmark, "set_cache"):
            self.benchmark.set_cache(cache)
        elif cache is not None:  # asv_runner before 0.3
            self.benchmark.insert_param(cache)
        self.skipped = self.benchmark.do_setup()
        self.timed = self.benchmark.type == "time"
        self.declared_number = getattr(self.benchmark, "number", 0)
        self.reference = Reference() if self.timed and not self.skipped else None

    def state(self) -> dict:
        """Return how the setup went, and what the benchmark says of itself."""
        if self.skipped:
            return {"state": "skipped"}
        return {"state": "ready", "timed": self.timed, **{name: self._declared(name) for name in DECLARED}}

    def _declared(self, name: str) -> object:
        """Return an attribute of the benchmark's function, class or module, or None."""
        function = self.benchmark.func
        places = (function, getattr(function, "__self__", None), sys.modules.get(function.__module__))
        return next((getattr(place, name) for place in places if hasattr(place, name)), None)

    def calibrate(self) -> dict:
        """Warm up as the benchmark asks for it and return how many calls make a sample, and their seconds."""
        self.benchmark.number, self.benchmark.repeat = self.declared_number, ONCE
        self.benchmark.sample_time = min(self.benchmark.sample_time, MOST_SAMPLE_SECONDS)
        held = self.benchmark.do_run()
        come_to_rest()
        return {"number": held["number"], "seconds": held["samples"][0] * held["number"]}

    def sample(self, number: int) -> dict:
        """Take one sample: of a time, the seconds of a call, the mean over ``number`` of them."""
        if self.reference is None:
            value = self.benchmark.do_run()
            return {"value": value if is_number(value) else None}
        self.benchmark.number, self.benchmark.repeat, self.benchmark.warmup_time = number, ONCE, 0
        reference = self.reference.seconds()
        value = self.benchmark.do_run()["samples"][0]
        come_to_rest()
        return {"value": value, "reference": reference}


# What a benchmark may declare about its numbers; see docs/ci.md.
DECLARED = ("better", "smallest_change", "smallest_difference")


def is_number(value: object) -> bool:
    """Return whether a tracked value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def last_line(text: str) -> str:
    """Return the line of a traceback that says what happened."""
    told = [line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
    return told[-1] if told else text.strip()[-200:] or "it printed nothing"


def serve(channel: socket.socket, benchmark_dir: str, benchmark_id: str) -> None:
    """Set the benchmark up and answer until the other side hangs up."""
    lines = channel.makefile("rw", encoding="utf-8", newline="\n")

    def answer(message: dict) -> None:
        lines.write(json.dumps(message) + "\n")
        lines.flush()

    from asv_runner.benchmarks.mark import SkipNotImplemented

    try:
        sampler = Sampler(benchmark_dir, benchmark_id)
        answer(sampler.state())
        for line in lines:
            request = json.loads(line)
            answer(sampler.calibrate() if "calibrate" in request else sampler.sample(request["sample"]))
    except SkipNotImplemented as skip:  # it is how a benchmark skips in mid-run
        return answer({"state": "skipped", "reason": str(skip)})
    except Exception:  # noqa: BLE001 - whatever a benchmark raises is passed on to who asked
        traceback.print_exc()
        return answer({"state": "failed", "reason": last_line(traceback.format_exc())})
    sampler.benchmark.do_teardown()


def main() -> None:
    """Connect, and do the work in a child.

    Linux counts the memory of whoever starts a program into the peak of the program. The child's parent is this small
    process, not the large one that measures, so a peak is the benchmark's own.
    """
    address, log, benchmark_dir, benchmark_id = sys.argv[1:]
    # This file's folder is no place to import from: it holds a package's modules.
    sys.path.pop(0)
    printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(address)
        serve(channel, benchmark_dir, benchmark_id)


if __name__ == "__main__":
    main()
