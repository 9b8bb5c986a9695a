"""The emitted kernels of ten typical cells, as files: a change of the compiler shows what it changes.

``python tests/test_golden.py`` writes the files anew.
"""

from pathlib import Path

import pytest

from rnnbench.cells import get_cell
from rnnbench.lang.emit import cpu_source

FOLDER = Path(__file__).parent / "golden"
CELLS = (
    "elman_tanh",
    "lstm",
    "lstm_peephole",
    "gru",
    "gru_reset_before",
    "indrnn",
    "min_gru",
    "lem",
    "lru",
    "clockwork",
)


def text_of(cell: str) -> str:
    return cpu_source(get_cell(cell).program)


@pytest.mark.parametrize("cell", CELLS)
def test_the_emitted_kernels_are_those_on_file(cell):
    kept = (FOLDER / f"{cell}.py.txt").read_text(encoding="utf-8")
    assert text_of(cell) == kept, "if the change is meant: python tests/test_golden.py"


def test_every_file_belongs_to_a_cell():
    assert {path.name.removesuffix(".py.txt") for path in FOLDER.iterdir()} == set(CELLS)


if __name__ == "__main__":
    for name in CELLS:
        (FOLDER / f"{name}.py.txt").write_text(text_of(name), encoding="utf-8")
