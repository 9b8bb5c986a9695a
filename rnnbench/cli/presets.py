"""What the three sizes of a run measure, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Sizes = tuple[int, int, int, int]


@dataclass(frozen=True)
class Preset:
    """One size of run.

    ``cells``: names (None: every cell there is). ``shapes``: (T, B, I, H) to time. ``samples``: of each contender, as
    many as ``max_seconds`` per measurement allow. ``memory``: (T, B, I, H) of the memory measurements. ``compiled``:
    how many cells are compiled from nothing to time it (None: all), since each costs some ten seconds. ``tasks``:
    those trained on unless the caller names others. ``lengths``: T by task; one that is not listed has its own
    default. ``seeds``: how many. ``training``: the other fields of Trial.
    """

    name: str
    cells: tuple[str, ...] | None
    shapes: tuple[Sizes, ...]
    samples: int
    max_seconds: float
    memory: tuple[Sizes, ...]
    compiled: int | None
    tasks: tuple[str, ...]
    lengths: Mapping[str, tuple[int, ...]]
    seeds: int
    training: Mapping[str, Any]


# Libraries that a run is timed against, where installed: those that need no minutes to compile. ``rnnbench speed``
# knows more.
PEERS = ("torch", "onnxruntime")
# The shape at which cells are compared where one number has to do, part of every preset.
COMMON: Sizes = (100, 32, 128, 128)

QUICK = Preset(
    name="quick",
    cells=("elman_tanh", "lstm", "gru"),
    shapes=(COMMON, (100, 32, 128, 64), (100, 32, 128, 256), (25, 32, 128, 128), (400, 32, 128, 128)),
    samples=8,
    max_seconds=0.5,
    memory=(COMMON,),
    compiled=1,
    tasks=("adding", "temporal_order_3"),
    lengths={
        "adding": (20, 60, 160),
        "copy": (5, 10),
        "temporal_order_3": (20, 40, 80),
        "parity": (40,),
    },
    seeds=3,
    # From one look at one seed, not from a search: a budget and a step with which three minutes show a difference.
    training={"hidden": 32, "steps": 800, "evaluate_every": 50, "learning_rate": 0.01},
)

# One of each kind that people choose from: simple, gated, one gate, continuous time, elementwise, linear.
WELL_KNOWN = (
    "elman_tanh", "irnn", "lstm", "lstm_peephole", "lstm_cifg", "slstm", "gru", "mgu", "lem", "indrnn", "min_gru",
    "rg_lru",
)  # fmt: skip

DEFAULT = Preset(
    name="default",
    cells=WELL_KNOWN,
    shapes=(
        COMMON,
        *((100, 32, 128, hidden) for hidden in (32, 64, 256, 512)),
        *((steps, 32, 128, 128) for steps in (25, 400, 1000)),
        (100, 1, 64, 64),
        (100, 1, 128, 256),
    ),
    samples=20,
    max_seconds=3.0,
    memory=(COMMON, (400, 32, 128, 128)),
    compiled=None,
    tasks=("adding", "copy", "temporal_order_3", "parity", "digits_row"),
    lengths={"adding": (25, 50, 100), "copy": (10, 20), "temporal_order_3": (25, 50, 100), "parity": (40,)},
    seeds=3,
    training={"hidden": 64, "steps": 2000},
)

FULL = Preset(
    name="full",
    cells=None,
    shapes=(
        *DEFAULT.shapes,
        (100, 32, 32, 64),
        (100, 64, 256, 256),
        (50, 64, 512, 512),
        (50, 1, 512, 512),
        (1000, 32, 2, 128),
    ),
    samples=50,
    max_seconds=20.0,
    memory=(COMMON, (400, 32, 128, 128), (1000, 32, 128, 128), (100, 32, 128, 512)),
    compiled=None,
    tasks=("adding", "copy", "temporal_order_3", "parity", "digits_row", "digits_pixel"),
    lengths={
        "adding": (50, 100, 200, 400, 750),
        "copy": (10, 20, 50, 100, 200),
        "temporal_order_3": (50, 100, 200, 400),
        "parity": (40,),
    },
    seeds=10,
    training={"hidden": 128, "steps": 20_000},
)
