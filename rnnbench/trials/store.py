"""The results store: one SQLite file of records, each committed when its measurement ends.

SQLite in WAL mode with full synchronisation: a process killed at any moment loses nothing that was committed, and
readers never wait for the writer. One process at a time writes (``lock.py``). A record is a plain JSON dict with "kind"
and "key"; its body is kept as zlib-compressed JSON, so that raw curves and samples stay small and nothing in the file
can run code.
"""

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import RnnbenchError
from rnnbench.trials.export import to_frame, write_tables
from rnnbench.trials.lock import Lock

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
"""Version of the records and of the file. Raise it when a record, or what a trial does, changes its meaning."""

_APPLICATION = 0x524E4E42  # "RNNB" in the file's header: says that the file is a store and not another SQLite file
_BUSY_SECONDS = 30.0  # a reader may be opening the file; that takes milliseconds


class NotStored(RnnbenchError):
    """Raised where a record cannot be written down: nothing that is measured after it could be either."""


class Store:
    """Keep records by key in one file; the first record of a key stays.

    ``path``: the file, made with its folder when missing; with ``read_only`` it must exist and is never written to.
    Use it as a context manager, or ``close`` it: one that writes owns the file until then. Raises RnnbenchError for a
    file that another process writes to, for a folder that cannot be written to, for a file that is no results file and
    for one of another version; such a file is left as it is.
    """

    def __init__(self, path: str | Path, read_only: bool = False):
        self.path = Path(path)
        with contextlib.ExitStack() as opened:
            if not read_only:
                _make_folder(self.path)
                opened.enter_context(Lock(self.path))
            self._connection = opened.enter_context(contextlib.closing(_open(self.path, read_only)))
            self._check_or_create(read_only)
            self._opened = opened.pop_all()

    def _check_or_create(self, read_only: bool) -> None:
        try:
            # In one transaction: another process may be creating the file just now.
            self._connection.execute("BEGIN")
            application, version = self._pragma("application_id"), self._pragma("user_version")
            tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            self._connection.execute("COMMIT")
            if application == 0 and version == 0 and tables == 0:
                if read_only:
                    raise RnnbenchError(f"{self.path} is empty: the run that makes it has stored nothing yet")
                self._create()
            elif application != _APPLICATION:
                raise RnnbenchError(f"{self.path} is not a results file of rnnbench; name another file")
            elif version != SCHEMA:
                raise RnnbenchError(
                    f"{self.path} was written by another version of rnnbench (format {version}, this one has format "
                    f"{SCHEMA}); name another output, or open it with that version"
                )
            elif not read_only:
                self._set_journal()
        except sqlite3.OperationalError as error:
            raise RnnbenchError(f"results file {self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise RnnbenchError(
                f"{self.path} is not a results file of rnnbench ({error}); name another file"
            ) from error

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def _set_journal(self) -> None:
        mode = self._pragma("journal_mode = WAL")
        if mode != "wal":
            raise RnnbenchError(f"the folder of {self.path} cannot hold a results file: no WAL journal there ({mode})")
        self._connection.execute("PRAGMA synchronous = FULL")

    def _create(self) -> None:
        self._set_journal()
        # One transaction: a process killed here leaves an empty file, which counts as new. IMMEDIATE and IF NOT
        # EXISTS: two processes may create the same file at once.
        self._connection.executescript(
            f"""BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL);
            PRAGMA application_id = {_APPLICATION};
            PRAGMA user_version = {SCHEMA};
            COMMIT;"""
        )

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything added is in it already."""
        self._opened.close()

    def __len__(self) -> int:
        return self._connection.execute("SELECT count(*) FROM records").fetchone()[0]

    def __contains__(self, key: object) -> bool:
        return self._connection.execute("SELECT 1 FROM records WHERE key = ?", (key,)).fetchone() is not None

    def add(self, record: dict[str, Any]) -> bool:
        """Commit one record and return True, or False if its key is there already, which leaves the first as it is.

        ``record``: a JSON dict with the texts "kind" and "key". Numbers must be finite: None stands for NaN.
        """
        kind, key = record.get("kind"), record.get("key")
        if not (isinstance(kind, str) and kind and isinstance(key, str) and key):
            raise RnnbenchError(f"a record must have the texts 'kind' and 'key', got {kind!r} and {key!r}")
        try:
            text = json.dumps(record, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise RnnbenchError(f"record {key} of kind {kind!r} is not plain JSON: {error}") from error
        body = zlib.compress(text.encode())
        with self._said_in_one_sentence("written to"):
            cursor = self._connection.execute(
                "INSERT INTO records (key, kind, body) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", (key, kind, body)
            )
        return cursor.rowcount == 1

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the record of ``key``, or None."""
        with self._said_in_one_sentence("read"):
            row = self._connection.execute("SELECT body FROM records WHERE key = ?", (key,)).fetchone()
        return None if row is None else _decode(row[0])

    def keys(self, kind: str | None = None) -> set[str]:
        """Return the keys of all records, or of those of one kind."""
        return {key for key, _ in self._rows("key, NULL", kind)}

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return all records, or those of one kind, in the order in which they were added."""
        return [_decode(body) for _, body in self._rows("key, body", kind)]

    def to_frame(self, kind: str) -> "pd.DataFrame":
        """Return the records of one kind as a table: see ``rnnbench.trials.export.to_frame``."""
        return to_frame(self.records(kind))

    def export(self, folder: str | Path) -> list[Path]:
        """Write each kind to ``folder`` as Parquet, CSV and JSON, and return the files."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for record in self.records():
            by_kind.setdefault(record["kind"], []).append(record)
        return write_tables(by_kind, Path(folder))

    def _rows(self, columns: str, kind: str | None) -> Iterator[tuple[Any, Any]]:
        where, values = ("", ()) if kind is None else ("WHERE kind = ?", (kind,))
        with self._said_in_one_sentence("read"):
            yield from self._connection.execute(f"SELECT {columns} FROM records {where} ORDER BY rowid", values)

    @contextlib.contextmanager
    def _said_in_one_sentence(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise NotStored(
                    f"no room is left on the disk with {self.path}: what was measured before is stored; make room, and "
                    "the same command goes on from there"
                ) from error
            kind = NotStored if done == "written to" else RnnbenchError
            raise kind(f"results file {self.path} cannot be {done}: {error}") from error


def _decode(body: bytes) -> dict[str, Any]:
    return json.loads(zlib.decompress(body))


def _reading(path: Path) -> str:
    """Return SQLite's options for reading.

    Whoever writes has a WAL file beside the store. Without one nothing changes: SQLite then needs no lock, which it
    could not take in a folder that is read-only, and leaves no files of its own behind.
    """
    return "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RnnbenchError(f"results file {path} cannot be opened: {reason}") from error


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    """Connect without creating anything but the file; autocommit, so that each insertion is its own transaction."""
    if read_only and not path.is_file():
        raise RnnbenchError(f"there is no results file {path}")
    try:
        options = _reading(path) if read_only else "mode=rwc"
        address = f"{path.absolute().as_uri()}?{options}"
        return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise RnnbenchError(f"results file {path} cannot be opened: {error}") from error
