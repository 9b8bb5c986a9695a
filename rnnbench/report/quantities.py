"""Numbers as people read them: three significant digits, and a unit that fits the size."""

import math

NOT_MEASURED = "not measured"


def known(value: object) -> bool:
    """Return whether ``value`` is a finite number (not None, not NaN)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits, thousands separated, never in scientific notation."""
    if value is None or not math.isfinite(value):
        return "—"
    if value == 0:
        return "0"
    rounded = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))  # 0.9996 has become 1.00
    return f"{rounded:,.{max(0, decimals)}f}"


def whole(value: float | None) -> str:
    """Return a count with thousands separated."""
    return f"{round(value):,}" if value is not None and math.isfinite(value) else "—"


def seconds(value: float | None) -> str:
    """Return seconds in the unit that fits: µs, ms, s or min."""
    if value is None or not math.isfinite(value):
        return "—"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s")):
        if value < limit:
            return f"{number(value * factor)} {unit}"
    return f"{number(value / 60)} min"


def size(value: float | None) -> str:
    """Return bytes in the binary unit that fits: B, KiB, MiB or GiB."""
    if value is None or not math.isfinite(value):
        return "—"
    for limit, unit in ((1024, "B"), (1024**2, "KiB"), (1024**3, "MiB")):
        if abs(value) < limit:
            return f"{number(value / (limit / 1024))} {unit}"
    return f"{number(value / 1024**3)} GiB"


def percent(value: float | None) -> str:
    """Return a fraction of 1 as a whole percentage."""
    return f"{value * 100:.0f}%" if value is not None and math.isfinite(value) else "—"


def times(ratio: float, low: float | None = None, high: float | None = None) -> str:
    """Return a ratio with its interval: "1.31× (1.28–1.35)"."""
    interval = f" ({number(low)}–{number(high)})" if low is not None and high is not None else ""
    return f"{number(ratio)}×{interval}"


def listed(items: list[str]) -> str:
    """Return the items as a phrase: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
