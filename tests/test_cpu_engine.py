"""What the CPU engine promises beside right numbers: how calls are split among threads, and what memory they take."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import problems
import pytest
import tolerances

import rnnbench
from rnnbench import Layer
from rnnbench.engines.cpu import run
from rnnbench.engines.cpu.host import Host, host
from rnnbench.engines.cpu.memory import Results
from rnnbench.engines.cpu.split import Split, choose

every_cell = pytest.mark.parametrize("cell", list(rnnbench.cells()))
typical_cells = problems.typical_cells
SIZES = (13, 5, 6, 70)


def outcome(layer: Layer, problem: problems.Problem) -> dict[str, np.ndarray]:
    y, final = layer.forward(problem.x, problem.state, training=True)
    last, _ = layer.forward(problem.x, problem.state, outputs="last")
    named = {"y": y, "last": last, **{f"final {name}": value for name, value in final.items()}}
    layer.forward(problem.x, problem.state, training=True)
    return named | {f"d {name}": value for name, value in layer.backward(problem.dy, problem.dfinal).items()}


@pytest.mark.parametrize("split", [Split(2, 1, 0.0), Split(2, 2, 0.0), Split(4, 2, 0.0)], ids=str)
@pytest.mark.parametrize("batch", [1, 2, 5])
@typical_cells
def test_every_split_gives_the_numbers_of_one_thread(cell, batch, split, layer_of, monkeypatch):
    """Also with more threads than cores: they only take turns then."""
    sizes = (SIZES[0], batch, *SIZES[2:])
    alone = layer_of(cell, "cpu", "float64", *sizes[2:])
    problem = problems.pose(alone, *sizes[:2])
    expected = outcome(alone, problem)
    monkeypatch.setattr(run, "choose", lambda *_: split)
    shared = Layer(cell, *sizes[2:], dtype="float64", threads=1)
    for name, array in alone.params.items():
        shared.params[name][...] = array
    tolerances.assert_all_close(outcome(shared, problem), expected, tolerances.backward("float64", sizes))


def test_the_model_splits_what_pays():
    program = rnnbench.get_cell("lstm").program
    machine = Host("a machine", "", vector_bytes=32, registers=16, level_2=1 << 20)

    def split(T: int, B: int, I: int, H: int, threads: int = 2) -> tuple[int, int]:  # noqa: E741
        best = choose(program, (T, B, I, H), 4, machine, threads)
        return best.threads, best.members

    assert split(1, 1, 4, 16) == (1, 1), "a call shorter than waking a thread stays alone"
    assert split(100, 32, 128, 128) == (2, 1), "many sequences: split the batch"
    assert split(100, 1, 128, 256) == (2, 2), "one sequence: split the units"
    assert split(100, 1, 128, 256, threads=1) == (1, 1)
    more = choose(program, (100, 1, 512, 1024), 4, machine, 16)
    assert more.cycles < choose(program, (100, 1, 512, 1024), 4, machine, 2).cycles


def test_the_host_tells_what_the_model_needs():
    assert host().level_2 >= 64 << 10
    assert host().panel(4) % host().lanes(4) == 0


@pytest.mark.parametrize("last_only", [False, True])
@pytest.mark.parametrize("steps", [1, 4, 5, 13, 20])
@typical_cells
def test_checkpoints_change_no_number(cell, steps, last_only, layer_of):
    """Segments that divide T and that do not, of one step, of all, and longer than the sequence."""
    whole = layer_of(cell, "cpu", "float64", *SIZES[2:])
    problem = problems.pose(whole, *SIZES[:2])
    parted = Layer(cell, *SIZES[2:], dtype="float64", threads=1, checkpoint=steps)
    for name, array in whole.params.items():
        parted.params[name][...] = array

    def results(layer: Layer) -> dict[str, np.ndarray]:
        outputs, dy = ("last", problem.dy[-1]) if last_only else ("all", problem.dy)
        y, final = layer.forward(problem.x, problem.state, training=True, outputs=outputs)
        return {"y": y, **{f"final {n}": v for n, v in final.items()}, **layer.backward(dy, problem.dfinal)}

    expected = results(whole)
    for _ in range(2):
        tolerances.assert_all_close(results(parted), expected, tolerances.backward("float64", SIZES))


def test_checkpoints_find_what_is_not_finite(layer_of):
    layer = Layer("lstm", 3, 5, threads=1, checkpoint=4)
    x = np.zeros((11, 2, 3), "float32")
    x[9, 1, 2] = np.nan
    with pytest.raises(rnnbench.RnnbenchError, match=r"x must be finite, got nan at \[9, 1, 2\]"):
        layer.forward(x, training=True)


@pytest.mark.parametrize("values", [1, 15, 16, 17, 33, 64, 130])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_wherever_it_is(values, bad):
    layer = Layer("elman_tanh", values, 7, threads=1)
    for place in {0, values // 2, values - 1}:
        x = np.ones((3, 2, values), "float32")
        x[1, 1, place] = bad
        with pytest.raises(rnnbench.RnnbenchError, match=rf"x must be finite, got .* at \[1, 1, {place}\]"):
            layer.forward(x)
    assert np.isfinite(layer.forward(np.full((3, 2, values), 3e38, "float32"))[0]).all()


MEMORY_SIZES = (40, 32, 128, 128)


def traced_growth(call) -> int:
    """Return by how many bytes the peak of all Python and NumPy memory rises above what was there before the call."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("checkpoint", [None, 10])
@pytest.mark.parametrize("cell", ["elman_tanh", "lstm", "gru_reset_before"])
def test_a_steady_state_allocates_no_array(cell, checkpoint):
    T, B, I, H = MEMORY_SIZES  # noqa: E741
    layer = Layer(cell, I, H, checkpoint=checkpoint)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((T, B, n)).astype("float32") for n in (I, H))

    def training():
        layer.forward(x, training=True)
        layer.backward(dy)

    def inference():
        layer.forward(x, outputs="last")

    smallest = B * H * 4  # bytes of one state
    for call in (training, inference):
        for _ in range(3):
            call()
        assert max(traced_growth(call) for _ in range(3)) < smallest


def test_tracing_would_see_an_array():
    assert traced_growth(lambda: np.empty(1 << 20, np.uint8)) >= 1 << 20


@pytest.mark.parametrize("cell", ["elman_tanh", "lstm", "gru", "mgu", "lstm_peephole"])
def test_training_holds_little_beside_the_saved_values(cell):
    T, B, I, H = 1000, *MEMORY_SIZES[1:]  # noqa: E741
    layer = Layer(cell, I, H, threads=1)
    program = layer.program
    saved = T * B * H * 4 * (len(program.states) + len(program.adjoint.saved))
    weights = sum(2 * program.shape(p, I, H)[0] * H * 4 for p in program.params if p[0] in "WR")
    assert layer.workspace_bytes(T, B, training=True) - weights <= 1.1 * saved
    more = layer.workspace_bytes(2 * T, B, training=True) - layer.workspace_bytes(T, B, training=True)
    assert more <= 1.1 * saved


@every_cell
def test_inference_holds_no_more_for_longer_sequences(cell):
    layer = Layer(cell, 16, 64)
    assert layer.workspace_bytes(100_000, 8) == layer.workspace_bytes(1_000, 8)


def test_checkpoints_hold_far_less():
    layer = Layer("lstm", 2, 128, checkpoint=316)
    assert layer.workspace_bytes(100_000, 32, training=True) < 200 << 20
    assert Layer("lstm", 2, 128).workspace_bytes(100_000, 32, training=True) > 5 << 30


def test_results_are_not_handed_out_again_while_anyone_has_them():
    results = Results(np.dtype(np.float32), {"a": (3, 4), "b": (5,)})
    first, where = results.new()
    second, elsewhere = results.new()
    assert where is not elsewhere
    assert not np.shares_memory(first["a"], second["a"])
    del second
    third, again = results.new()
    assert again is elsewhere, "memory that nobody has is used again"
    part = first["b"][1:3]
    part[:] = 7.0
    del first
    fourth, other = results.new()
    assert other is not where, "a view of a part holds the whole"
    del part, third, fourth
    assert results.new()[1] is where


def test_results_of_a_layer_stay_as_they_are():
    layer = Layer("lstm", 3, 5)
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(7):
        x = rng.standard_normal((4, 2, 3)).astype("float32")
        y, final = layer.forward(x, training=True)
        grads = layer.backward(np.ones_like(y))
        arrays = [y, *final.values(), *grads.values()]
        kept += [(array, array.copy()) for array in arrays]
    assert all(np.array_equal(array, copy) for array, copy in kept)
    assert not any(np.shares_memory(a, b) for i, (a, _) in enumerate(kept) for b, _ in kept[:i])


FORK = """
import os
import numpy as np
from rnnbench import Layer
from rnnbench.engines.cpu import run
from rnnbench.engines.cpu.split import Split

run.choose = lambda *_: Split(2, 1, 0.0)
layer = Layer("gru", 4, 33, threads=1)
x = np.ones((20, 8, 4), "float32")
expected, _ = layer.forward(x)
child = os.fork()
if child == 0:
    same = False
    try:
        same = np.array_equal(layer.forward(x)[0], expected)
    finally:
        os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(layer.forward(x)[0], expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_makes_threads_of_its_own():
    """In a process of its own: other libraries of this one may have threads that do not survive a fork."""
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_too_small_are_zero_inside_a_call_and_kept_outside(dtype, threads, monkeypatch):
    """Or a gradient that vanishes would slow a long backward down by an order of magnitude."""
    monkeypatch.setattr(run, "choose", lambda *_: Split(threads, 1, 0.0))
    layer = Layer("elman_relu", 1, 1, dtype=dtype, threads=1)
    smallest = np.finfo(dtype).smallest_normal
    for name in layer.params:
        layer.params[name][...] = 0.25 if name == "R.h" else 0.5 if name == "W.h" else 0.0
    x = np.zeros((3, 2, 1), dtype)
    x[0] = smallest * 2
    y, _ = layer.forward(x)
    assert y[0, 0, 0] == smallest
    assert y[1, 0, 0] == 0.0, "a quarter of the smallest normal number"
    assert np.array([smallest], dtype)[0] * np.array([0.25], dtype)[0] > 0.0, "the caller's arithmetic is as it was"
