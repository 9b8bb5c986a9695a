"""The lock of a results file: one process writes to it at a time.

The system holds the lock, not the file that carries it: when its process ends, killed or not, it is free. The file
only says who has it.
"""

import contextlib
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self

from rnnbench.errors import RnnbenchError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: SQLite alone keeps the file sound there, and two runs are not kept apart
    fcntl = None


class Lock:
    """Own ``results`` until ``close``, or raise RnnbenchError that says who does; a file beside it bears the lock."""

    def __init__(self, results: Path):
        self._path = results.with_name(f"{results.name}.lock")
        self._file = None if fcntl is None else _take(self._path, results)

    def close(self) -> None:
        """Give the file free."""
        if self._file is not None:
            # Removed while it is still locked, so that it is this process's own and not a later one's.
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take(path: Path, results: Path) -> BinaryIO:
    assert fcntl is not None
    while True:
        try:
            file = path.open("a+b")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RnnbenchError(f"results file {results} cannot be opened: {reason}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().decode(errors="replace").strip()
            file.close()
            if not isinstance(error, BlockingIOError):
                raise RnnbenchError(f"results file {results} cannot be locked: {error.strerror}") from error
            raise RnnbenchError(
                f"results file {results} is in use by another run{f' ({owner})' if owner else ''}: wait until it "
                "ends, or name another output"
            ) from None
        # The one who had it may have removed the file since it was opened; then the lock is on nothing.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    owner = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    # Past Python's buffer. On a full disk the lock stays without a name; the first record says why nothing goes on.
    with contextlib.suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), owner.encode())
    return file
