"""Worker processes: fresh interpreters whose environment is set before their first import, driven over a pipe."""

import importlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Self

from rnnbench.errors import RnnbenchError

# The child finds modules where its parent does, whatever folder or installation that is.
_BOOT = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from rnnbench.measure.process import serve
serve(sys.argv[2])
"""
REST_SECONDS = 0.01  # a process rests when it used less than a tenth of a core for so long
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class Worker:
    """A fresh Python process that holds one object and calls its methods when asked.

    Its requests and answers are pickled over its own standard input and output, which nothing else can reach; what it
    prints goes to a temporary file, whose last line explains a death.

    Parameters
    ----------
    name : what to call the process in an error, such as a contender's name.
    target : ``"module:Class"``, made without arguments in the process.
    threads : number of threads of every thread pool in the process.
    environment : further environment variables.
    """

    def __init__(self, name: str, target: str, threads: int, environment: Mapping[str, str] | None = None):
        self.name = name
        self._printed = tempfile.TemporaryFile()
        pinned = dict.fromkeys(_THREAD_VARIABLES, str(threads))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**os.environ, **pinned, **(environment or {})},
        )

    def ask(self, method: str, **arguments: Any) -> Any:
        """Return what the object's method returns; a death on the way is an RnnbenchError that names the worker."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump((method, arguments), self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise self._obituary(method) from None

    def _obituary(self, method: str) -> RnnbenchError:
        code = self._process.wait()
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").splitlines()
        # A traceback ends with "module.Error: message", whose message may go on over further lines.
        told = [line for line in lines if re.match(r"[A-Za-z_][\w.]*: \S", line)]
        if code < 0:
            reason = f"it was ended by signal {-code} ({signal.strsignal(-code)})"
        elif code > 0 and told:
            reason = told[-1].removeprefix("rnnbench.errors.RnnbenchError: ")
        else:
            reason = f"its process ended with exit code {code}"
        return RnnbenchError(f"{self.name} failed to {method.replace('_', ' ')}: {reason}")

    @property
    def alive(self) -> bool:
        """Whether the process can be asked again."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, killing it if it is still at work."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self.alive:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        try:
            self._process.stdin.close()
        except BrokenPipeError:  # what was left to write is no longer wanted
            self._process.stdin = None
        self._printed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(target: str) -> None:
    """Answer a parent's requests until it closes the pipe; an exception ends the process and its text says why."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # A library that reads or prints must not disturb the pipe.
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    module, _, name = target.partition(":")
    held = getattr(importlib.import_module(module), name)()
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        pickle.dump(getattr(held, method)(**arguments), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


def come_to_rest(window: float = REST_SECONDS, most: float = 2.0) -> None:
    """Return once this process hardly used a processor for ``window`` seconds.

    Thread pools go on spinning after their work, for 60 ms in ONNX Runtime and over 100 ms in OpenBLAS, on the cores
    that the next contender needs. Raises RnnbenchError for one that does not rest within ``most`` seconds.
    """
    begun = time.perf_counter()
    while True:
        busy, since = time.process_time(), time.perf_counter()
        time.sleep(window)
        if time.process_time() - busy < 0.1 * (time.perf_counter() - since):
            return
        if time.perf_counter() - begun > most:
            raise RnnbenchError(f"its threads are still at work {most:g} s after a call")
