"""Both CUDA engines: the numbers of the reference, and what a call promises.

These tests run on a GPU. Without one, test_cuda_simulator.py runs them in a process of its own in numba-cuda's
simulator, so sizes are small: tiles of products there are four rows by six columns.
"""

from typing import Any

import numpy as np
import odd_cells
import problems
import pytest
import tolerances

import rnnbench
from rnnbench import Layer, RnnbenchError
from rnnbench.engines.cuda.driver import simulated

REASONS = {engine: rnnbench.engines()[engine] for engine in ("cuda_steps", "cuda")}
pytestmark = pytest.mark.gpu


@pytest.fixture(params=REASONS)
def engine(request):
    """Return the name of an engine that can run here."""
    reason = REASONS[request.param]
    if reason is not None:
        pytest.skip(f"engine {request.param}: {reason}")
    return request.param


T, B, INPUTS, UNITS = 3, 2, 2, 5
# T, B, I, H: one of everything; several tiles in each direction, and pieces of tiles; more rows than units.
SIZES = [(1, 1, 1, 1), (2, 9, 7, 13), (5, 5, 1, 4)]
FEW = ("lstm", "gru_reset_before", "lem", "lru", "indrnn", "lstm_projected", "delta_net")
# Laws of a call do not depend on the cell but in what kernels a call has: products, a scan, a matrix, or two sizes.
FOUR = ("gru_reset_before", "indrnn", "lstm_projected", "delta_net")
few_cells = pytest.mark.parametrize(
    "cell", [*FOUR, *(pytest.param(c, marks=pytest.mark.slow) for c in FEW if c not in FOUR)]
)
USUAL = (*problems.TYPICAL, "lstm_layernorm", "mlstm", "delta_net", "rwkv7")


def kernel_of(layer: Layer) -> Any:
    """Return what the engine has prepared."""
    return layer._kernel


def compare(layer: Layer, problem: problems.Problem, exact: tuple) -> None:
    """Run inference, training and backward, and compare all that comes out."""
    expected_y, expected_final, expected_grads = exact
    dtype, sizes = layer.dtype.name, problems.largest(layer, problem)
    for training in (False, True):
        y, final = layer.forward(problem.x, problem.state, training=training)
        assert {type(a) for a in (y, *final.values())} == {np.ndarray}
        assert {a.dtype for a in (y, *final.values())} == {layer.dtype}
        expected = {"y": expected_y, **expected_final}
        tolerances.assert_all_close({"y": y, **final}, expected, tolerances.forward(dtype, sizes))
    grads = layer.backward(problem.dy, problem.dfinal)
    assert {a.dtype for a in grads.values()} == {layer.dtype}
    tolerances.assert_all_close(grads, expected_grads, tolerances.backward(dtype, sizes))


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        pytest.param(cell, dtype, marks=[] if dtype == "float32" and cell in USUAL else pytest.mark.slow)
        for dtype in ("float32", "float64")
        for cell in rnnbench.cells()
    ],
)
def test_every_cell_gives_the_numbers_of_the_reference(cell, dtype, engine, layer_of):
    layer = layer_of(cell, engine, dtype, INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    compare(layer, problem, problems.exact(layer, problem))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@few_cells
def test_sizes_that_tiles_do_not_divide(cell, sizes, engine, layer_of):
    layer = layer_of(cell, engine, "float32", *sizes[2:])
    problem = problems.pose(layer, *sizes[:2])
    compare(layer, problem, problems.exact(layer, problem))


# Of the corners, those of what kernels write in different ways; the others are asked of all engines of the language.
CORNERS = ("reduced", "two_memories", "thrice_written", "projected_reads", "three_sizes", "two_sizes_apart", "deep")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in CORNERS else pytest.mark.slow) for n in odd_cells.CELLS]
)
def test_cells_for_the_corners_of_the_language(name, engine):
    spec, _, _, hyper = odd_cells.CELLS[name]
    layer = Layer(spec, INPUTS, UNITS, engine=engine, dtype="float64", **hyper)
    problems.draw(layer)
    problem = problems.pose(layer, T, B)
    compare(layer, problem, problems.exact(layer, problem, **hyper))


@pytest.mark.parametrize("training", [False, True])
@few_cells
def test_the_last_output_is_the_last_of_all(cell, training, engine, layer_of):
    layer = layer_of(cell, engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    y, final = layer.forward(problem.x, problem.state, training=training)
    last, last_final = layer.forward(problem.x, problem.state, training=training, outputs="last")
    assert np.array_equal(last, y[-1])
    assert all(np.array_equal(last_final[name], final[name]) for name in final)


@few_cells
def test_the_gradient_of_the_last_output_is_that_of_all_with_zeros(cell, engine, layer_of):
    layer = layer_of(cell, engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    dy = np.zeros_like(problem.dy)
    dy[-1] = problem.dy[-1]
    layer.forward(problem.x, problem.state, training=True)
    expected = layer.backward(dy, problem.dfinal)
    layer.forward(problem.x, problem.state, training=True, outputs="last")
    got = layer.backward(problem.dy[-1], problem.dfinal)
    assert got.keys() == expected.keys()
    assert all(np.array_equal(got[name], expected[name]) for name in expected)


@few_cells
def test_no_state_is_a_state_of_zeros(cell, engine, layer_of):
    layer = layer_of(cell, engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    zeros = {name: np.zeros(layer.state_shape(name, B), "float32") for name in layer.states}
    got, expected = [], []
    for results, given in ((got, None), (expected, zeros)):
        layer.forward(problem.x, problem.state, training=True)  # leaves other states in the memory
        layer.backward(problem.dy, problem.dfinal)
        y, final = layer.forward(problem.x, given, training=True)
        results.append({"y": y, **final, **{f"d {n}": a for n, a in layer.backward(problem.dy, given).items()}})
    assert all(np.array_equal(got[0][name], expected[0][name]) for name in expected[0])


@few_cells
def test_inference_in_chunks_of_steps_changes_nothing(cell, engine, monkeypatch):
    whole = Layer(cell, INPUTS, UNITS, engine=engine)
    problem = problems.pose(whole, T + 1, B)
    expected_y, expected_final = whole.forward(problem.x, problem.state)
    step = B * len(whole.program.affines) * UNITS * 4
    module = {"cuda": "persistent_loop", "cuda_steps": "steps_loop"}[engine]
    monkeypatch.setattr(f"rnnbench.engines.cuda.{module}.AHEAD_BYTES", 2 * step)
    layer = Layer(cell, INPUTS, UNITS, engine=engine)
    y, final = layer.forward(problem.x, problem.state)
    assert kernel_of(layer).loop.chunk(T + 1, B, False) == 2
    assert np.array_equal(y, expected_y)
    assert all(np.array_equal(final[name], expected_final[name]) for name in final)


@pytest.mark.parametrize("cell", ["lstm_peephole", "lstm_layernorm", "mlstm"])
def test_the_same_call_gives_the_same_bits(cell, engine, layer_of):
    layer = layer_of(cell, engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    runs = []
    for _ in range(2):
        y, final = layer.forward(problem.x, problem.state, training=True)
        runs.append([y, *final.values(), *layer.backward(problem.dy, problem.dfinal).values()])
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


def test_results_are_the_callers_own(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    y, final = layer.forward(problem.x)
    kept = {"y": y.copy(), **{name: a.copy() for name, a in final.items()}}
    layer.forward(problem.x + np.float32(1.0))
    assert all(np.array_equal(kept[name], a) for name, a in {"y": y, **final}.items())


def test_shapes_may_change_from_call_to_call(engine, layer_of):
    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    for steps, batch in ((T, B), (2, 1), (T, B + 1), (T, B)):
        problem = problems.pose(layer, steps, batch)
        compare(layer, problem, problems.exact(layer, problem))


def test_frozen_weights_are_those_of_the_moment(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    before, _ = layer.forward(problem.x)
    layer.freeze()
    layer.params["R.n"] *= 0.5
    frozen, _ = layer.forward(problem.x)
    layer.thaw()
    after, _ = layer.forward(problem.x)
    assert np.array_equal(frozen, before)
    assert not np.array_equal(after, before)


def test_parameters_changed_in_place_are_seen(engine, layer_of):
    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    layer.forward(problem.x)
    for array in layer.params.values():
        array *= 0.5
    y, _ = layer.forward(problem.x, problem.state)
    expected, _, _ = problems.exact(layer, problem)
    tolerances.assert_close("y", y, expected, tolerances.forward("float32", problems.largest(layer, problem)))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the simulator
@pytest.mark.parametrize("what", ["x", "state", "dy", "dfinal"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(what, value, engine, layer_of):
    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    if what in ("x", "dy"):
        getattr(problem, what)[2, 1, 0] = value
        place, name = "[2, 1, 0]", what
    else:
        getattr(problem, what)["c"][1, 2] = value
        place, name = "[1, 2]", f"{what}['c']"

    def train() -> None:
        layer.forward(problem.x, problem.state, training=True)
        layer.backward(problem.dy, problem.dfinal)

    with pytest.raises(RnnbenchError) as caught:
        train()
    assert str(caught.value) == f"{name} must be finite, got {value} at {place}"


@pytest.mark.parametrize("training", [False, True])
@few_cells
def test_what_a_call_holds_is_what_was_predicted(cell, training, engine):
    layer = Layer(cell, INPUTS, UNITS, engine=engine)
    problem = problems.pose(layer, T, B)
    layer.forward(problem.x, problem.state, training=training)
    if training:
        layer.backward(problem.dy, problem.dfinal)
    kernel = kernel_of(layer)
    held = kernel.layout.nbytes(kernel._held[training].shapes, kernel._weights.shapes)
    held += kernel.loop.workspace_bytes(T, B, training)  # asked in test_cuda_persistent.py
    assert held == layer.workspace_bytes(T, B, training)


def test_too_little_memory_is_said_before_anything_runs(engine, monkeypatch):
    layer = Layer("lstm", INPUTS, UNITS, engine=engine)
    x = np.zeros((10**6, 64, INPUTS), "float32")
    needed = layer.workspace_bytes(len(x), 64, True) / 1e9
    monkeypatch.setattr("rnnbench.engines.cuda.run.free_bytes", lambda: 1.5e9)
    with pytest.raises(RnnbenchError, match=f"'{engine}' needs {needed:.2f} GB.*training, and 1.50 GB are free"):
        layer.forward(x, training=True)
    monkeypatch.undo()
    assert np.isfinite(layer.forward(x[:2, :1], training=True)[0]).all()


def test_checkpoints_change_nothing_but_sums_over_segments(engine):
    """Segments of two and one step; arrays of the host and of the device, all outputs and the last one."""
    whole = Layer("lstm", INPUTS, UNITS, engine=engine)
    parts = Layer("lstm", INPUTS, UNITS, engine=engine, checkpoint=2)
    problem = problems.pose(whole, 5, B)
    tolerance = tolerances.backward("float32", problems.largest(whole, problem))
    for outputs, dy in (("all", problem.dy), ("last", problem.dy[-1])):
        found = []
        for layer in (whole, parts):
            y, final = layer.forward(problem.x, problem.state, training=True, outputs=outputs)
            found.append({"y": y, **final, **{f"d {n}": g for n, g in layer.backward(dy, problem.dfinal).items()}})
        for name, expected in found[0].items():
            if name[:2] != "d " or name[2:] not in whole.params:
                assert np.array_equal(found[1][name], expected), name
            tolerances.assert_close(name, found[1][name], expected, tolerance)
    y, _ = parts.forward(parts.to_device(problem.x), problem.state, training=True, outputs="last")
    grads: Any = parts.backward(parts.to_device(problem.dy[-1]), problem.dfinal)
    for device, name in ((y, "y"), (grads["x"], "d x")):
        assert np.array_equal(device.copy_to_host(), found[1][name])  # pyright: ignore[reportAttributeAccessIssue]


def test_checkpoints_take_less_memory_and_say_where_a_value_is_not_finite(engine, monkeypatch):
    whole = Layer("lstm", INPUTS, UNITS, engine=engine)
    parts = Layer("lstm", INPUTS, UNITS, engine=engine, checkpoint=10)
    assert parts.workspace_bytes(1000, B, True) < whole.workspace_bytes(1000, B, True) / 3
    x = np.zeros((25, B, INPUTS), "float32")
    x[21, 1, 0] = np.nan
    with pytest.raises(RnnbenchError, match=r"x must be finite, got nan at \[21, 1, 0\]"):
        parts.forward(x, training=True)
    monkeypatch.setattr("rnnbench.engines.cuda.checkpoint.free_bytes", lambda: 1000.0)
    with pytest.raises(RnnbenchError, match=f"'{engine}' needs .* GB on the GPU for T=25, B=2 beside its segments"):
        parts.forward(np.zeros_like(x), training=True)


def test_what_the_engines_cannot_do(engine):
    wanted = {"cuda_steps": "'cuda_steps' multiplies in its dtype, got precision='fp16'"}
    known = "'cuda' takes one of tf32, bfloat16, float16 or None, got precision='fp16'"
    with pytest.raises(RnnbenchError, match=wanted.get(engine, known)):
        Layer("lstm", INPUTS, UNITS, engine=engine, precision="fp16")


def test_a_parameter_that_was_replaced_is_looked_at(engine):
    layer = Layer("lstm", INPUTS, UNITS, engine=engine)
    layer.weights["R.i"] = np.zeros(UNITS, "float32")
    with pytest.raises(RnnbenchError, match=r"params\['R.i'\] must be a C-contiguous float32 array \[5, 5\]"):
        layer.forward(np.zeros((T, B, INPUTS), "float32"))


def test_a_fault_of_the_device_is_one_sentence(engine, monkeypatch):
    from numba.cuda.cudadrv.driver import CudaAPIError

    def fail(*_):
        raise CudaAPIError(700, "[700] Call to cuLaunchKernel results in CUDA_ERROR_ILLEGAL_ADDRESS")

    layer = Layer("lstm", INPUTS, UNITS, engine=engine)
    monkeypatch.setattr(kernel_of(layer).loop, "forward", fail)
    with pytest.raises(RnnbenchError, match=r"the GPU reports an error: .*CUDA_ERROR_ILLEGAL_ADDRESS"):
        layer.forward(np.zeros((T, B, INPUTS), "float32"))


def test_arrays_of_the_device_go_in_and_come_out(engine, layer_of):
    from numba import cuda

    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    y, final = layer.forward(problem.x, problem.state, training=True)
    grads = layer.backward(problem.dy, problem.dfinal)
    x, dy = layer.to_device(problem.x), layer.to_device(problem.dy)
    state = {"c": cuda.to_device(problem.state["c"]), "h": problem.state["h"]}
    device_y, device_final = layer.forward(x, state, training=True)
    device_grads = layer.backward(dy, problem.dfinal)
    assert np.array_equal(device_y.copy_to_host(), y)
    assert all(np.array_equal(device_final[name].copy_to_host(), final[name]) for name in final)
    for name, expected in grads.items():
        on_device = name in ("x", *layer.states)
        assert isinstance(device_grads[name], np.ndarray) != on_device
        got = device_grads[name].copy_to_host() if on_device else device_grads[name]
        assert np.array_equal(got, expected), name


def test_arrays_of_the_device_are_checked_as_others_are(engine, layer_of):
    from numba import cuda

    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    x = problems.pose(layer, T, B).x
    with pytest.raises(RnnbenchError, match="x must be float32"):
        layer.forward(cuda.to_device(x.astype("float64")))
    with pytest.raises(RnnbenchError, match=r"x must have shape \[T, B, I\]"):
        layer.forward(cuda.to_device(x[0]))
    with pytest.raises(RnnbenchError, match="x must be C-contiguous to be read where it lies"):
        layer.forward(cuda.to_device(np.asfortranarray(x)))
    x[1, 1, 0] = np.nan
    with pytest.raises(RnnbenchError, match=r"x must be finite, got nan at \[1, 1, 0\]"):
        layer.forward(cuda.to_device(x))
    with pytest.raises(RnnbenchError, match=r"x must be a NumPy array \[T, B, I\], got list"):
        layer.forward([[1.0]])  # type: ignore[arg-type]


def test_tensors_of_torch_go_in_without_a_copy(engine, layer_of):
    if simulated():
        pytest.skip("the simulator's arrays are not torch's")
    torch = pytest.importorskip("torch", reason="torch is not installed: it is a peer")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    expected, _ = layer.forward(problem.x, problem.state)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        x = torch.from_numpy(problem.x).to("cuda", non_blocking=True)
        seen = kernel_of(layer).on_device("x", x)
        y, _ = layer.forward(x, problem.state)
    assert seen.device_ctypes_pointer.value == x.data_ptr()
    assert int(seen.stream) == stream.cuda_stream
    assert np.array_equal(torch.as_tensor(y, device="cuda").cpu().numpy(), expected)


def test_a_layer_trains(engine):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 1)).astype("float32")
    target = np.tanh(x.sum(axis=0))
    layer = Layer("gru", 1, 1, engine=engine, seed=1)
    losses = []
    for _ in range(12):
        y, _ = layer.forward(x, training=True, outputs="last")
        losses.append(float(((y - target) ** 2).mean()))
        grads = layer.backward(2 * (y - target) / target.size)
        for name, array in layer.params.items():
            array -= grads[name]
    assert losses[-1] < losses[0] / 2


def test_a_trial_trains_on_it_as_on_the_cpu(engine):
    """Three steps of training at the same seed give the same losses, up to rounding."""
    from rnnbench.trials import build_model
    from rnnbench.trials.training import GradientDescent

    losses = []
    for name in (engine, "cpu"):
        trial = rnnbench.Trial(cell="gru", task="adding", length=3, hidden=3, batch=2, steps=3, engine=name)
        task = trial.get_task()
        training = GradientDescent(trial, task, build_model(trial, task), [])
        losses.append([training.step() for _ in range(3)])
    assert np.allclose(*losses, rtol=1e-5, atol=0)
    assert len(set(losses[0])) == 3
