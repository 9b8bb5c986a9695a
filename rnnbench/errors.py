"""The one family of errors: each names the argument, what it got and what it takes."""

import difflib
from collections.abc import Iterable


class RnnbenchError(ValueError):
    """Raised for anything a caller can mend: a bad name, size, dtype, file or missing extra."""


def unknown(kind: str, name: object, known: Iterable[str]) -> RnnbenchError:
    """Return the error for a name that is not registered, with the nearest registered ones.

    ``kind`` is what the name should have been ("cell", "task", "engine", ...).
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
    return RnnbenchError(f"unknown {kind} {str(name)!r}; {hint}")


def positive(name: str, value: object) -> int:
    """Return ``value`` as an int after checking that it is a whole number of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RnnbenchError(f"{name} must be a whole number of at least 1, got {value!r}")
    number = value.__index__()  # type: ignore[attr-defined]
    if number < 1:
        raise RnnbenchError(f"{name} must be at least 1, got {number}")
    return number
