"""What is said of a step that is not a cell: one sentence, with the file and line where it goes wrong."""

from __future__ import annotations

import ast
import difflib
import dis
import linecache
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import CodeType, TracebackType

from rnnbench.errors import RnnbenchError
from rnnbench.lang import ops


class NotYetAValue:
    """What a step receives and has to name or call before it is a value; anything else done with it is a mistake."""

    def __init__(self, written: str, remedy: str) -> None:
        self._written, self._remedy = written, remedy

    def __repr__(self) -> str:
        return f"{self._written}, which is no value by itself: {self._remedy}"

    def _refuse(self, *_: object) -> None:
        raise RnnbenchError(f"a cell's equations take symbols and numbers, got {self!r}")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __matmul__ = __rmatmul__ = __pow__ = __neg__ = __abs__ = __ge__ = __le__ = __gt__ = __lt__ = _refuse
    __bool__ = __iter__ = __getitem__ = __call__ = _refuse  # type: ignore[assignment]


def mistake(name: str, code: CodeType, line: int, error: object) -> RnnbenchError:
    """Return the error of cell ``name`` at a line of the file that its step is in."""
    file = Path(code.co_filename)
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return RnnbenchError(f"cell {name} ({shown}:{line}): {' '.join(str(error).split())}")


def raised_in_step(name: str, code: CodeType, error: Exception) -> RnnbenchError:
    """Return what to raise for an exception of a running step, with the line of its file that led to it."""
    line = last_line(error, code.co_filename) or code.co_firstlineno
    return mistake(name, code, line, _sentence(error, code))


def last_line(error: BaseException, file: str) -> int | None:
    """Return the line of ``file`` nearest to where the exception was raised, None where it never passed it."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    lines = [trace.tb_lineno for trace in _walk(error.__traceback__) if trace.tb_frame.f_code.co_filename == file]
    return lines[-1] if lines else None


def line_with(code: CodeType, *words: str) -> int:
    """Return the first line of a function, decorators included, with one of ``words`` in it; else its first."""
    found = re.compile("|".join(rf"\b{word}\b" if word.isidentifier() else re.escape(word) for word in words))
    last = max((line for *_, line in code.co_lines() if line), default=code.co_firstlineno)
    for line in range(code.co_firstlineno, last + 1):
        if found.search(linecache.getline(code.co_filename, line)):
            return line
    return code.co_firstlineno


def line_of_equality(code: CodeType, symbols: Collection[str]) -> int | None:
    """Return the line of a comparison by ==, !=, is or in of one of ``symbols``, None where there is none.

    Python answers these without asking the symbol: a step would silently lose a branch.
    """
    for step in dis.get_instructions(code):
        equality = step.opname == "COMPARE_OP" and ("==" in step.argrepr or "!=" in step.argrepr)
        none = step.opname.startswith("POP_JUMP") and "NONE" in step.opname
        where = step.positions
        if not (equality or none or step.opname in ("IS_OP", "CONTAINS_OP")) or where is None or where.lineno is None:
            continue
        names = {n.id for n in ast.walk(_expression(code.co_filename, where)) if isinstance(n, ast.Name)}
        if not names.isdisjoint(symbols):
            return where.lineno
    return None


def _expression(file: str, where: dis.Positions) -> ast.AST:
    """Return the expression at a place of a file; an empty one where the file cannot be read."""
    first, last, start, end = where.lineno or 0, where.end_lineno or 0, where.col_offset or 0, where.end_col_offset or 0
    lines = [linecache.getline(file, line).encode() for line in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    return ast.parse(f"({b''.join(lines).decode()})")


def _walk(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _sentence(error: Exception, code: CodeType) -> str:
    if isinstance(error, RnnbenchError):
        return str(error)
    text = str(error).replace("'Node'", "'symbol'").replace("type Node", "type symbol")
    if isinstance(error, NameError):
        return f"{text}; {_about_name(str(error.name), code)}"
    if isinstance(error, TypeError) and ("symbol" in text or "Node" in text):
        return f"{text}; {_about_operator(text)}"
    if isinstance(error, AttributeError):
        return f"{text}; names are asked of x, R, b and p, as in x.h"
    return f"{type(error).__name__}: {text}"


def _about_name(wanted: str, code: CodeType) -> str:
    if wanted in ("x", "R", "b", "p"):
        return f"make {wanted} an argument of the step"
    functions = [n for n, f in vars(ops).items() if isinstance(f, Callable) and n.islower() and n[0] != "_"]
    if wanted in functions:
        return f"import {wanted} from rnnbench.lang"
    return _nearest(wanted, [*code.co_varnames, *functions])


def _nearest(wanted: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return "a step knows its arguments, its own variables and what its file imports"


def _about_operator(text: str) -> str:
    if text.startswith(("'>'", "'<'")):
        return "comparisons are >= and <=, inside where(a >= b, x, y)"
    if "abs()" in text:
        return "use absolute of rnnbench.lang"
    return "symbols take + - * / and the functions of rnnbench.lang"
