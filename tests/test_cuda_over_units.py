"""Both CUDA engines: sums over units, matrix states and vectors of several sizes.

These tests run on a GPU. Without one, test_cuda_simulator.py runs them in numba-cuda's simulator.
"""

from typing import Any

import numpy as np
import odd_cells
import problems
import pytest
import tolerances

import rnnbench
from rnnbench import Layer, RnnbenchError
from rnnbench.engines.cuda.tiling import Machine

REASONS = {engine: rnnbench.engines()[engine] for engine in ("cuda_steps", "cuda")}
pytestmark = pytest.mark.gpu


@pytest.fixture(params=REASONS)
def engine(request):
    """Return the name of an engine that can run here."""
    reason = REASONS[request.param]
    if reason is not None:
        pytest.skip(f"engine {request.param}: {reason}")
    return request.param


@pytest.fixture
def on(monkeypatch):
    """Return a function that has new layers of engine cuda share their kernels among a machine's multiprocessors."""
    return lambda machine: monkeypatch.setattr("rnnbench.engines.cuda.persistent_loop.machine", lambda: machine)


T, B, INPUTS, UNITS = 3, 2, 2, 7


def agrees(
    engine: str, cell: Any, units: int, dtype: str = "float32", steps: int = T, batch: int = B, **hyper: Any
) -> Layer:
    """Compare inference, training and backward with the reference, and return the layer."""
    layer = Layer(cell, INPUTS, units, engine=engine, dtype=dtype, **hyper)
    problems.draw(layer)
    problem = problems.pose(layer, steps, batch)
    expected_y, expected_final, expected_grads = problems.exact(layer, problem, **hyper)
    sizes = problems.largest(layer, problem)
    for training in (False, True):
        y, final = layer.forward(problem.x, problem.state, training=training)
        expected = {"y": expected_y, **expected_final}
        tolerances.assert_all_close({"y": y, **final}, expected, tolerances.forward(dtype, sizes))
    grads = layer.backward(problem.dy, problem.dfinal)
    tolerances.assert_all_close(grads, expected_grads, tolerances.backward(dtype, sizes))
    return layer


# In the simulator a block has four threads: heads of one unit, of a piece of a block, and of several blocks.
OF_HEADS = [("mlstm", 26, {"heads": 2}), ("rwkv7", 12, {"heads": 4}), ("delta_net", 3, {"heads": 3})]


@pytest.mark.parametrize(("cell", "units", "hyper"), OF_HEADS, ids=lambda value: str(value))
def test_heads_of_matrix_states(cell, units, hyper, engine):
    agrees(engine, cell, units, steps=2, batch=5, **hyper)


def test_heads_of_sums(engine):
    agrees(engine, odd_cells.reduced, 12, "float64", heads=2)


def test_two_matrix_states_of_other_heads(engine):
    agrees(engine, odd_cells.two_memories, 12, "float64", heads=2, groups=3)


@pytest.mark.parametrize(("projection", "widest"), [(0.5, 8), (1.0, 8), (2.5, 20)])
def test_a_vector_takes_the_room_of_the_largest_and_a_matrix_its_own(projection, widest, engine):
    layout: Any = agrees(engine, "lstm_projected", 8, projection=projection)._kernel.layout  # pyright: ignore[reportAttributeAccessIssue]
    P = int(8 * projection)
    assert layout.stride == widest
    assert layout.weights["R"] == (4 * P * 8 + 8 * P,)
    assert layout.copies(T, B, False)["y"] == (T, B, P)


def test_heads_must_divide_the_units(engine):
    with pytest.raises(RnnbenchError, match="cell delta_net with 2 heads takes a hidden_size that 2 divides, got 7"):
        Layer("delta_net", INPUTS, UNITS, engine=engine, heads=2)


def test_matrix_states_and_outputs_of_another_size_on_the_device(engine, layer_of):
    from numba import cuda

    for name in ("delta_net", "lstm_projected"):
        layer = layer_of(name, engine, "float32", INPUTS, UNITS)
        problem = problems.pose(layer, T, B)
        y, final = layer.forward(problem.x, problem.state, training=True)
        grads = layer.backward(problem.dy, problem.dfinal)
        state, dfinal = (
            {name: cuda.to_device(array) for name, array in of.items()} for of in (problem.state, problem.dfinal)
        )
        device_y, device_final = layer.forward(layer.to_device(problem.x), state, training=True)
        device_grads = layer.backward(layer.to_device(problem.dy), dfinal)
        assert np.array_equal(device_y.copy_to_host(), y)
        for state_name, expected in final.items():
            assert np.array_equal(device_final[state_name].copy_to_host(), expected)
            assert np.array_equal(device_grads[state_name].copy_to_host(), grads[state_name])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, in the simulator
def test_a_matrix_state_that_is_not_finite_is_named(engine, layer_of):
    layer = layer_of("delta_net", engine, "float32", INPUTS, UNITS)
    problem = problems.pose(layer, T, B)
    problem.state["S"][1, 0, 2, 3] = np.nan
    with pytest.raises(RnnbenchError, match=r"state\['S'\] must be finite, got nan at \[1, 0, 2, 3\]"):
        layer.forward(problem.x, problem.state)


def plans(layer: Layer) -> Any:
    """Return the shapes of the kernels that engine cuda has run."""
    return [plan.tiling.shape for plan in layer._kernel.loop._plans.values()]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.skipif(REASONS["cuda"] is not None, reason=f"engine cuda: {REASONS['cuda']}")
class TestPersistent:
    """How engine cuda shares what reads other units among multiprocessors."""

    @pytest.mark.parametrize(
        ("cell", "units", "shared", "hyper"),
        [
            ("lstm_layernorm", 7, 800, {}),
            (odd_cells.reduced, 6, 700, {"heads": 2}),  # heads end within a block
            (odd_cells.CELLS["mean_beside_another_size"][0], 7, 900, {"memory": 0.6}),
            ("lstm_projected", 9, 500, {"projection": 0.4}),
            (odd_cells.two_sizes, 9, 1800, {"memory": 2.0}),
        ],
        ids=str,
    )
    def test_several_blocks_share_sums_and_sizes(self, cell, units, shared, hyper, on):
        on(Machine(3, shared, 32))
        layer = agrees("cuda", cell, units, steps=4, batch=5, **hyper)
        assert all(shape.blocks > 1 and shape.parts == 1 for shape in plans(layer))

    def test_each_head_of_a_matrix_state_has_a_block_of_its_own(self, on):
        on(Machine(2, 65536, 32))
        layer = agrees("cuda", "mlstm", 12, heads=4)
        assert {(shape.blocks, shape.parts, shape.widths[0].count) for shape in plans(layer)} == {(1, 4, 3)}

    def test_a_matrix_state_that_no_multiprocessor_holds(self):
        wanted = "matrix states of the 256 units of a row that belong together take 262 kB.*use engine 'cuda_steps'"
        with pytest.raises(RnnbenchError, match=wanted):
            Layer("mlstm", INPUTS, 512, engine="cuda", heads=2)

    @pytest.mark.parametrize(("cell", "shared"), [("elman_tanh", 65536), ("elman_tanh", 200), ("slstm", 600)])
    def test_blocks_on_the_diagonal_do_not_wait_for_one_another(self, cell, shared, on):
        """Also where each is shared by several blocks of threads."""
        wanted = {"R": "block_diagonal(2)"}
        on(Machine(4, shared, 32))
        layer = Layer(cell, INPUTS, 10, engine="cuda", structures=wanted)
        problems.draw(layer)
        exact = Layer(cell, INPUTS, 10, engine="reference", dtype="float64", structures=wanted)
        for name, array in layer.params.items():
            exact.params[name][...] = array
        problem = problems.pose(layer, T, B)
        expected, _ = exact.forward(problem.x.astype(float), problems.double(problem.state), training=True)
        expected_grads = exact.backward(problem.dy.astype(float), problems.double(problem.dfinal))
        y, _ = layer.forward(problem.x, problem.state, training=True)
        sizes = problems.largest(layer, problem)
        tolerances.assert_close("y", y, expected, tolerances.forward("float32", sizes))
        grads = layer.backward(problem.dy, problem.dfinal)
        tolerances.assert_all_close(grads, expected_grads, tolerances.backward("float32", sizes))
        assert {shape.parts for shape in plans(layer)} == {2}
        assert {shape.blocks > 1 for shape in plans(layer)} == {shared < 65536}
