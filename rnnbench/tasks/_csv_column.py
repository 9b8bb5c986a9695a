"""One numeric column of a CSV file, read strictly: nothing is skipped, filled in or guessed."""

import csv
import io
import math
from pathlib import Path

import numpy as np

from rnnbench.errors import RnnbenchError, unknown

DELIMITERS = ",;\t"


def read_column(path: str, column: str) -> np.ndarray:
    """Return the numbers under a header, float64 [n], in the file's order.

    ``path``: UTF-8 text, with or without a byte order mark, whose first row holds the column names; cells are parted by
    the first of comma, semicolon and tab that makes ``column`` one of the names. Empty rows at the end are no data.
    Raises RnnbenchError naming the file, the column and the row (the header is row 1, as in a spreadsheet) for a file
    that is missing, unreadable, empty, not UTF-8 or not CSV, a column that is missing or there twice, and a cell that
    is missing, empty or not a finite number.
    """
    text = _read(path)
    if not text.strip():
        raise RnnbenchError(f"{path} is empty; the first row must hold the column names")
    delimiter, place = _find(path, text, column)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    values: list[float] = []
    number, blank = 1, None
    try:
        next(rows)
        for number, row in enumerate(rows, start=2):
            if not any(cell.strip() for cell in row):
                blank = blank or number
            elif blank:
                raise RnnbenchError(f"{path}: row {blank} is empty, but rows with data follow it (the header is row 1)")
            else:
                values.append(_number(row, place, f"{path}, column {column!r}, row {number} (the header is row 1)"))
    except csv.Error as error:
        raise RnnbenchError(f"{path} is not valid CSV after row {number}: {error}") from error
    return np.array(values, np.float64)


def _read(path: str) -> str:
    try:
        data = Path(path).expanduser().read_bytes()
    except FileNotFoundError:
        raise RnnbenchError(f"there is no file {path}") from None
    except OSError as error:
        raise RnnbenchError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the path; a home folder that is not known
        raise RnnbenchError(f"{path!r} is not a usable path: {error}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RnnbenchError(
            f"{path} is not UTF-8 text (byte 0x{data[error.start]:02x} at offset {error.start}); save it as UTF-8"
        ) from error


def _find(path: str, text: str, column: str) -> tuple[str, int]:
    """Return the delimiter and the place of ``column`` in the header."""
    headers = {}
    for delimiter in DELIMITERS:
        try:
            first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise RnnbenchError(f"{path} is not valid CSV in its header: {error}") from error
        header = headers[delimiter] = [name.strip() for name in first]
        if header.count(column) > 1:
            raise RnnbenchError(f"{path} has {header.count(column)} columns named {column!r}; names must differ")
        if column in header:
            return delimiter, header.index(column)
    named = max(headers.values(), key=len)
    if not any(named):
        raise RnnbenchError(f"{path} has an empty first row; it must hold the column names")
    raise RnnbenchError(f"{path}: {unknown('column', column, named)}")


def _number(row: list[str], place: int, where: str) -> float:
    """Return the cell at ``place`` as a finite float; ``where`` opens the message of the error."""
    if place >= len(row):
        raise RnnbenchError(f"{where}: the row has {len(row)} cells, too few to reach the column")
    cell = row[place].strip()
    if not cell:
        raise RnnbenchError(f"{where}: the cell is empty, expected a number")
    shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
    try:
        # Python's float takes 1_000, which no spreadsheet means as a number.
        value = float(cell.replace("_", "?"))
    except ValueError:
        raise RnnbenchError(f"{where}: {shown} is not a number") from None
    if not math.isfinite(value):
        raise RnnbenchError(f"{where}: {shown} is not a finite number")
    return value
