"""How each number of the report was measured, in words, for the kinds of records that it holds."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from rnnbench.report.tables import Table, table

# Kind of record -> what it says, how it was taken. In the order in which the report shows them.
_HOW = {
    "trial": (
        "score, solved, steps to solve",
        "A model is trained on sequences drawn from a seed, the same for every cell. Every so many steps it is scored "
        "on a validation split; a trial counts as solved from the task's threshold on, and then ends. Scores are those "
        "on a test split that training never sees. Several seeds make an interval: of success rates Wilson's, of "
        "scores that of a bootstrap.",
    ),
    "horizon": (
        "horizon",
        "Lengths are doubled while most seeds solve them within the budget, and the gap to the first that they do not "
        "is halved. It is the longest length solved together with every shorter one that was tried.",
    ),
    "search": (
        "learning rate",
        "Every cell gets the same number of tries on a task, on seeds that no reported trial uses; the rate that did "
        "best there is the one that it is then trained with.",
    ),
    "match": (
        "size",
        "The hidden size at which a cell has as many parameters, as large a state, or as short a step as the reference "
        "cell, found by this machine before anything is trained.",
    ),
    "time": (
        "time of a call",
        "Contenders get the same weights and inputs. Each is first checked against the float64 reference; one that "
        "does not agree is not timed. They run in processes of their own and are sampled by turns, so that what else "
        "happens on the machine meets all of them. Shown are medians, with quartiles or intervals.",
    ),
    "speed": (
        "time against other libraries and limits",
        "As the time of a call. A ratio is formed between samples of the same round; its interval is a bootstrap over "
        "the rounds. The machine's own matrix product is a contender among the others.",
    ),
    "limits": (
        "roofs",
        "Multiply-adds in registers, NumPy's matrix product and reading from each level of the memory, timed on the "
        "same threads as the kernels.",
    ),
    "memory": (
        "memory",
        "Workspace is what the engine says that it holds beside arguments and results. Peak growth is that of the "
        "resident memory of a fresh process during one call.",
    ),
    "compile": (
        "compile time",
        "A fresh process with an empty cache (cold), another one with what the first left behind (cached).",
    ),
    "gradients": (
        "gradient flow",
        "Products of the exact Jacobians of single steps, in float64, on the states that the cell goes through; "
        "Lyapunov exponents by QR; memory capacity by a linear readout fitted on other sequences.",
    ),
}


def measuring_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return how numbers were taken, a row for each kind of record that is there."""
    kinds = {record["kind"] for record in records}
    rows = [how for kind, how in _HOW.items() if kind in kinds]
    frame = pd.DataFrame(rows, columns=pd.Index(["number", "how"]))
    caption = "What each number is and how it came about; docs/training.md and docs/engine.md have the details."
    return table("measuring", "How it was measured", caption, frame, [("number", "number", None), ("how", "how", None)])
