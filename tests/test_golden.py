"""The emitted kernels of typical cells, as files: a change of the compiler shows what it changes.

``python tests/test_golden.py`` writes the files anew.
"""

from pathlib import Path

import pytest

from rnnbench.cells import get_cell
from rnnbench.engines.cuda.tiling import Machine, choose
from rnnbench.lang.emit import cpu_source
from rnnbench.lang.emit_cuda import cuda_source
from rnnbench.lang.emit_persistent import persistent_source

FOLDER = Path(__file__).parent / "golden"
CUDA_FOLDER = Path(__file__).parent / "golden_cuda"
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


# Those of engine cuda_steps: their bodies are the same, and their loops differ little from cell to cell.
CUDA_CELLS = ("lstm_peephole", "gru_reset_before", "indrnn", "lstm_projected")


def resident(program) -> str:
    """Return the persistent training kernel of engine cuda at B=8, H=64, shared among 16 multiprocessors."""
    tiling = choose(program, "training", 64, 8, "float32", Machine(16, 16384, 128))
    assert not isinstance(tiling, str)
    return persistent_source(program, "training", tiling.shape)


def with_matrix(program) -> str:
    """Return the persistent backward kernel of engine cuda at B=8, H=32, with a block of threads for each row."""
    tiling = choose(program, "backward", 32, 8, "float32", Machine(16, 65536, 128))
    assert not isinstance(tiling, str)
    return persistent_source(program, "backward", tiling.shape)


def scanned(program) -> str:
    """Return the backward kernels of engine cuda for a cell without recurrent products."""
    return persistent_source(program, "backward", None)


KEPT = {
    CUDA_FOLDER / "gru_reset_before_training.py.txt": (resident, "gru_reset_before"),
    CUDA_FOLDER / "lstm_layernorm_training.py.txt": (resident, "lstm_layernorm"),
    CUDA_FOLDER / "delta_net_backward.py.txt": (with_matrix, "delta_net"),
    CUDA_FOLDER / "rg_lru_backward.py.txt": (scanned, "rg_lru"),
    **{FOLDER / f"{cell}.py.txt": (cpu_source, cell) for cell in CELLS},
    **{CUDA_FOLDER / f"{cell}.py.txt": (cuda_source, cell) for cell in CUDA_CELLS},
}


def text_of(path: Path) -> str:
    source, cell = KEPT[path]
    return source(get_cell(cell).program)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_emitted_kernels_are_those_on_file(path):
    kept = path.read_text(encoding="utf-8")
    assert text_of(path) == kept, "if the change is meant: python tests/test_golden.py"


def test_every_file_belongs_to_a_cell():
    assert {*FOLDER.iterdir(), *CUDA_FOLDER.iterdir()} == set(KEPT)


if __name__ == "__main__":
    for target in KEPT:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text_of(target), encoding="utf-8")
