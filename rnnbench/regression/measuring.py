"""Rounds of samples of two commits, taken in turns: a process of each side, a benchmark at a time."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnnbench.errors import RnnbenchError
from rnnbench.regression.decision import Rules, needs_more
from rnnbench.regression.sampler import DECLARED, last_line
from rnnbench.regression.series import SIDES, Round, Sample, Series
from rnnbench.regression.suite import Item, Side, Suite, scratch

SAMPLER = Path(__file__).with_name("sampler.py")
TURNS, FEWEST_TURNS, ROUND_SECONDS = 30, 3, 2.0
POLL_SECONDS, LAST_SECONDS = 0.2, 3.0


class Unmeasurable(RnnbenchError):
    """A benchmark has no number on one side: it failed, or (``skipped``) says that it does not apply here."""

    def __init__(self, side: str, reason: str, skipped: bool = False) -> None:
        super().__init__(reason)
        self.side, self.skipped = side, skipped


def measure(suite: Suite, rules: Rules, progress: Callable[[list[Series], int], None]) -> list[Series]:
    """Return what was measured of every benchmark of the suite.

    One round of each benchmark after another, then again of those that are still in doubt, so that a bad minute of the
    machine falls on one round of many benchmarks and not on all rounds of one. ``progress`` is called after each round
    with all series and the number of those still to be measured.
    """
    series = [Series(item.benchmark) for item in suite.items]
    numbers: dict[int, int] = {}
    open_ = list(range(len(series)))
    with scratch() as folder:
        while open_:
            for place, index in enumerate(open_):
                _take_round(suite, suite.items[index], series[index], numbers, index, Path(folder))
                progress(series, len(open_) - place - 1)
            open_ = [index for index in open_ if needs_more(series[index], rules, len(series))]
    return series


def _take_round(suite: Suite, item: Item, series: Series, numbers: dict[int, int], index: int, folder: Path) -> None:
    """Add a round to ``series``, or note why a side has none.

    ``numbers``: by index, how many calls are in a sample, the same in all rounds.
    """
    order = SIDES if len(series.rounds) % 2 == 0 else SIDES[::-1]
    taken: dict[str, tuple[Sample, ...]] = {}
    if series.benchmark.kind == "value":
        # Numbers that take the whole machine, such as seconds of a compilation: one process after the other.
        for name in order:
            with _noting(series), _process(suite, name, item, folder) as held:
                held.wait(series)
                taken[name] = (Sample(held.ask({"sample": 1})["value"]),)
    else:
        with contextlib.ExitStack() as stack:
            held = {}
            for name in order:
                with _noting(series):
                    held[name] = stack.enter_context(_process(suite, name, item, folder))
            for process in held.values():  # both set up at the same time, which nobody times
                with _noting(series):
                    process.wait(series)
            if not series.failed and not series.skipped:
                with _noting(series):
                    taken = _take_turns(held, order, numbers, index)
    if not series.failed and not series.skipped:
        series.rounds.append(Round(**taken))


def _take_turns(
    held: dict[str, "Process"], order: tuple[str, ...], numbers: dict[int, int], index: int
) -> dict[str, tuple[Sample, ...]]:
    calibrated = {name: held[name].ask({"calibrate": True}) for name in order}
    number = numbers.setdefault(index, calibrated["base"]["number"])
    seconds = max(each["seconds"] / each["number"] * number for each in calibrated.values())
    turns = int(min(TURNS, max(FEWEST_TURNS, ROUND_SECONDS / (2 * seconds))))
    taken: dict[str, list[Sample]] = {name: [] for name in SIDES}
    for turn in range(turns):
        for name in order if turn % 2 == 0 else order[::-1]:
            answer = held[name].ask({"sample": number})
            taken[name].append(Sample(answer["value"], answer["reference"]))
    return {name: tuple(samples) for name, samples in taken.items()}


@contextlib.contextmanager
def _noting(series: Series) -> Iterator[None]:
    """Note in ``series`` why a side has no numbers."""
    try:
        yield
    except Unmeasurable as why:
        (series.skipped if why.skipped else series.failed).setdefault(why.side, str(why))


@contextlib.contextmanager
def _process(suite: Suite, name: str, item: Item, folder: Path) -> Iterator["Process"]:
    side = suite.sides[name]
    cache, reason = suite.cache_folder(side, item)
    if item.setup_cache_key is not None and cache is None:
        told = "\n".join(line for line in reason.splitlines() if not line.startswith("asv:"))
        raise Unmeasurable(name, f"setup_cache: {last_line(told)}")
    process = Process(side, item, Path(cache) if cache else folder, folder)
    try:
        yield process
    finally:
        process.close()


class Process:
    """A process in one side's environment that holds one benchmark (sampler.py)."""

    def __init__(self, side: Side, item: Item, cwd: Path, folder: Path) -> None:
        self._name, self._timeout = side.name, item.timeout
        self._log = folder / f"{side.name}.log"
        address = folder / f"{side.name}.socket"
        address.unlink(missing_ok=True)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(address))
        self._server.listen(1)
        self._channel: socket.socket | None = None
        self._received = b""
        self._process = side.environment.run(
            [str(SAMPLER), str(address), str(self._log), side.benchmark_dir, item.id],
            cwd=str(cwd),
            env={**os.environ, **side.environment.env_vars},
            return_popen=True,
            redirect_stderr=True,
        )

    def wait(self, series: Series) -> None:
        """Return once the benchmark is set up, what it declares of its numbers noted in ``series``."""
        said = self._answer()
        known = {"kind": "time" if said["timed"] else "value"}
        known |= {name: said[name] for name in DECLARED if said[name] is not None}
        if known.get("better", "lower") not in ("lower", "higher"):
            raise Unmeasurable(self._name, f"its attribute better must be 'lower' or 'higher', not {known['better']!r}")
        series.benchmark = replace(series.benchmark, **known)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer."""
        assert self._channel is not None
        with contextlib.suppress(BrokenPipeError):  # it died: reading its answer says why
            self._channel.sendall(json.dumps(request).encode() + b"\n")
        said = self._answer()
        if "value" in said and said["value"] is None:
            raise Unmeasurable(self._name, "it returned no finite number")
        return said

    def _answer(self) -> dict[str, Any]:
        """Return the next message; a failure, a skip, a death or silence for too long is raised."""
        until = time.monotonic() + self._timeout
        while b"\n" not in self._received:
            if time.monotonic() > until:
                raise Unmeasurable(self._name, f"it took longer than {self._timeout:g} s (its attribute timeout)")
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        said = json.loads(line)
        if said.get("state") == "failed":
            raise Unmeasurable(self._name, said["reason"])
        if said.get("state") == "skipped":
            raise Unmeasurable(self._name, said.get("reason") or _skip_reason(self._printed()), skipped=True)
        return said

    def _receive(self) -> None:
        waiting = self._channel or self._server
        waiting.settimeout(POLL_SECONDS)
        try:
            if self._channel is None:
                self._channel, _ = self._server.accept()
                return
            arrived = self._channel.recv(1 << 16)
            if not arrived:
                self._process.wait()
                raise Unmeasurable(self._name, self._death())
            self._received += arrived
        except TimeoutError:
            if self._channel is None and self._process.poll() is not None:
                raise Unmeasurable(self._name, self._death()) from None

    def _death(self) -> str:
        code = self._process.returncode
        printed = self._printed() or self._process.stdout.read().decode(errors="replace")
        # The sampler passes its child's signal on as an exit code.
        if code > 128:
            return f"its process was ended by signal {256 - code} ({signal.strsignal(256 - code)})"
        return f"its process ended with exit code {code}: {last_line(printed)}"

    def _printed(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """Hang up, and kill whatever does not end by that."""
        if self._channel is not None:
            self._channel.close()
        self._server.close()
        try:
            self._process.wait(LAST_SECONDS)  # it tears down
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()


def _skip_reason(printed: str) -> str:
    """Return what a setup said when it raised NotImplementedError, which asv_runner prints as a ``repr``."""
    told = re.search(r"asv: skipped: \w+\((.*)\)\s*$", printed, flags=re.MULTILINE)
    return told[1].strip("'\"") if told and told[1] else "it does not apply here"
