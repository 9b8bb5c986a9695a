"""Engine cuda: the numbers of the reference from one launch of many blocks, and what it refuses.

These tests run on a GPU. Without one, test_cuda_simulator.py runs them in a process of its own in numba-cuda's
simulator. Most say which multiprocessors a kernel is shared among, so that small sizes have several blocks, several
groups of rows, and more rows than run at the same time.
"""

import threading
from typing import Any

import numpy as np
import problems
import pytest
import tolerances

import rnnbench
from rnnbench import Layer, RnnbenchError
from rnnbench.engines.cuda import PRECISIONS
from rnnbench.engines.cuda.tiling import Machine, choose
from rnnbench.lang.exchange import exchange

ENGINE = "cuda"
REASON = rnnbench.engines()[ENGINE]
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=f"engine {ENGINE}: {REASON}")]

T, B, INPUTS, UNITS = 3, 3, 2, 7
FEW = ("lstm", "gru_reset_before", "lem", "lru", "indrnn")
DENSE = ("lstm", "gru_reset_before", "lem")
# Multiprocessors that hold little, so that three share the units, and few rows run at the same time.
SEVERAL = {"lstm": Machine(3, 500, 32), "gru_reset_before": Machine(3, 400, 32), "lem": Machine(3, 500, 32)}
few_cells = pytest.mark.parametrize("cell", FEW)
dense_cells = pytest.mark.parametrize("cell", DENSE)


@pytest.fixture
def on(monkeypatch):
    """Return a function that has new layers share their kernels among the multiprocessors of a machine."""
    return lambda machine: monkeypatch.setattr("rnnbench.engines.cuda.persistent_loop.machine", lambda: machine)


def new_layer(cell: str, dtype: str = "float32", units: int = UNITS, precision: str | None = None) -> Layer:
    layer = Layer(cell, INPUTS, units, engine=ENGINE, dtype=dtype, precision=precision)
    problems.draw(layer)
    return layer


def sizes_of(layer: Layer, problem: problems.Problem) -> tuple[int, int, int, int]:
    return (*problem.x.shape, layer.hidden_size)  # type: ignore[return-value]


def compare(layer: Layer, problem: problems.Problem, exact: tuple, forward: float, backward: float) -> None:
    """Run inference, training and backward, and compare all that comes out."""
    expected_y, expected_final, expected_grads = exact
    for training in (False, True):
        y, final = layer.forward(problem.x, problem.state, training=training)
        assert {a.dtype for a in (y, *final.values())} == {layer.dtype}
        tolerances.assert_all_close({"y": y, **final}, {"y": expected_y, **expected_final}, forward)
    grads = layer.backward(problem.dy, problem.dfinal)
    assert {a.dtype for a in grads.values()} == {layer.dtype}
    tolerances.assert_all_close(grads, expected_grads, backward)


def agrees(layer: Layer, steps: int, batch: int, **hyper: float) -> None:
    """Compare a call of this shape with the reference."""
    problem = problems.pose(layer, steps, batch)
    dtype, sizes = layer.dtype.name, sizes_of(layer, problem)
    bounds = tolerances.forward(dtype, sizes), tolerances.backward(dtype, sizes)
    compare(layer, problem, problems.exact(layer, problem, **hyper), *bounds)


def loop_of(layer: Layer) -> Any:
    return layer._kernel.loop  # pyright: ignore[reportAttributeAccessIssue]


def shapes(layer: Layer) -> set[tuple[int, int, int]]:
    """Return how the layer's kernels were shared: (blocks, groups, rows of a group)."""
    plans = loop_of(layer)._plans.values()
    return {(p.tiling.shape.blocks, p.tiling.groups, p.tiling.shape.rows) for p in plans}


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
@dense_cells
def test_several_blocks_share_the_units_and_several_groups_the_rows(cell, dtype, itemsize, on):
    on(Machine(6, SEVERAL[cell].shared * itemsize // 4, 32))
    layer = new_layer(cell, dtype)
    agrees(layer, T, 5)
    assert all(blocks > 1 for blocks, _, _ in shapes(layer))
    assert any(groups > 1 for _, groups, _ in shapes(layer))


@dense_cells
def test_more_rows_than_run_at_the_same_time(cell, on):
    """Five rows in groups of two or four: a launch takes one group after another."""
    on(SEVERAL[cell])
    layer = new_layer(cell)
    agrees(layer, T, 5)
    assert any(groups * rows < 5 for _, groups, rows in shapes(layer))


@dense_cells
def test_one_block_has_all_units(cell, on):
    on(Machine(1, 65536, 32))
    layer = new_layer(cell)
    agrees(layer, T, B)
    assert {blocks for blocks, _, _ in shapes(layer)} == {1}


@pytest.mark.parametrize("units", [1, 2, 9])
@few_cells
def test_units_that_blocks_do_not_divide(cell, units, on):
    on(Machine(2, 65536, 32))
    agrees(new_layer(cell, units=units), T, 1)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
def test_products_of_rounded_numbers(cell, precision, blocks, on):
    """Weights lie in registers here; more rounds than one, and rows, units and inner sizes that fill nothing."""
    on(Machine(blocks, 65536, 128 if blocks == 1 else 64))
    layer = new_layer(cell, precision=precision)
    problem = problems.pose(layer, T, B)
    forward, backward = (
        bound(precision, sizes_of(layer, problem))
        for bound in (tolerances.rounded_forward, tolerances.rounded_backward)
    )
    compare(layer, problem, problems.exact(layer, problem), forward, backward)
    assert all(p.tiling.shape.in_registers for p in loop_of(layer)._plans.values())
    assert {found for found, _, _ in shapes(layer)} == {blocks}


def test_rounded_weights_in_shared_memory(on, monkeypatch):
    on(Machine(2, 65536, 64))
    monkeypatch.setattr("rnnbench.engines.cuda.tiling.WEIGHT_REGISTERS", 0)
    choose.cache_clear()
    layer = new_layer("lstm", precision="bfloat16")
    problem = problems.pose(layer, T, B)
    exact = problems.exact(layer, problem)
    sizes = sizes_of(layer, problem)
    compare(
        layer,
        problem,
        exact,
        tolerances.rounded_forward("bfloat16", sizes),
        tolerances.rounded_backward("bfloat16", sizes),
    )
    assert not any(p.tiling.shape.in_registers for p in loop_of(layer)._plans.values())
    choose.cache_clear()


def test_gradients_of_whatever_size_keep_their_digits_in_float16(on):
    """The backward is linear, and scaled by powers of two: gradients far below float16's range give the same digits."""
    on(Machine(2, 65536, 64))
    layer = new_layer("lstm", precision="float16")
    problem = problems.pose(layer, T, B)

    def gradients(power: int) -> dict[str, np.ndarray]:
        factor = np.float32(2.0**power)
        layer.forward(problem.x, problem.state, training=True)
        return layer.backward(problem.dy * factor, {name: d * factor for name, d in problem.dfinal.items()})

    usual = gradients(0)
    for power in (-60, 40):
        assert all(np.array_equal(g, usual[name] * np.float32(2.0**power)) for name, g in gradients(power).items())
    layer.forward(problem.x, problem.state, training=True)
    assert not any(array.any() for array in layer.backward(np.zeros_like(problem.dy)).values())


@pytest.mark.filterwarnings("ignore:.* encountered in .*:RuntimeWarning")  # NumPy's, in the simulator
def test_gradients_that_grow_beyond_float16_are_said(on):
    on(Machine(2, 65536, 64))
    layer = new_layer("elman_relu", precision="float16")
    for name, array in layer.params.items():
        array[...] = 1000 * np.eye(UNITS) if name == "R.h" else 0.0
    x, state = np.zeros((T, B, INPUTS), "float32"), {"h": np.full((B, UNITS), 1e-6, "float32")}
    y, _ = layer.forward(x, state, training=True)
    assert np.isfinite(y).all()
    with pytest.raises(RnnbenchError, match="grew beyond the range of float16, .*: take precision='bfloat16'"):
        layer.backward(np.ones_like(y))


def test_rounding_is_to_the_precision_that_was_asked_for(on):
    """What is rounded to 8 bits is further off than what is rounded to 11, and that than what is not rounded."""
    on(Machine(1, 65536, 128))
    off = {}
    for precision in (None, "tf32", "float16", "bfloat16"):
        layer = new_layer("elman_tanh", precision=precision)
        problem = problems.pose(layer, T, B)
        y, _ = layer.forward(problem.x, problem.state)
        expected, _, _ = problems.exact(layer, problem)
        off[precision] = np.abs(y - expected).max()
    assert 4 * off[None] < min(off["tf32"], off["float16"])
    assert 2 * max(off["tf32"], off["float16"]) < off["bfloat16"]


@pytest.mark.parametrize("steps", [8, 9])
@pytest.mark.parametrize(
    "cell", ["min_gru", "s6", *(pytest.param(c, marks=pytest.mark.slow) for c in ("rg_lru", "indrnn", "sru"))]
)
def test_chunks_of_steps_at_the_same_time_change_nothing(cell, steps, monkeypatch):
    """Several states; sums of per-unit weights over all chunks; an elementwise cell, whose adjoint alone is linear."""
    monkeypatch.setattr("rnnbench.engines.cuda.persistent_loop.CHUNK_STEPS", 2)
    monkeypatch.setattr("rnnbench.engines.cuda.persistent_loop.LEAST_CHUNKS", 2)
    layer = new_layer(cell, units=3)
    agrees(layer, steps, 2)
    assert loop_of(layer)._chunks(2, steps) > 2
    assert loop_of(layer)._composed["backward"].shape[0] > 2
    problem = problems.pose(layer, steps, 2)
    y, final = layer.forward(problem.x, outputs="last")
    whole, whole_final = layer.forward(problem.x)
    assert np.array_equal(y, whole[-1])
    assert all(np.array_equal(final[name], whole_final[name]) for name in final)


def test_the_same_call_gives_the_same_bits(on):
    on(SEVERAL["lstm"])
    layer = new_layer("lstm_peephole")
    problem = problems.pose(layer, T, B)
    runs = []
    for _ in range(3):
        y, final = layer.forward(problem.x, problem.state, training=True)
        runs.append([y, *final.values(), *layer.backward(problem.dy, problem.dfinal).values()])
    assert all(np.array_equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_shapes_and_weights_may_change_from_call_to_call(on):
    """Packed weights and published values of one batch size are of no harm to another's."""
    on(SEVERAL["lstm"])
    layer = new_layer("lstm")
    for steps, batch in ((T, B), (2, 1), (T, 5), (T, B)):
        agrees(layer, steps, batch)
        for array in layer.params.values():
            array *= np.float32(0.75)


@dense_cells
def test_what_the_loop_holds_is_what_was_predicted(cell, on):
    on(SEVERAL[cell])
    for training in (False, True):
        layer = new_layer(cell)
        problem = problems.pose(layer, T, B)
        layer.forward(problem.x, problem.state, training=training)
        if training:
            layer.backward(problem.dy, problem.dfinal)
        loop = loop_of(layer)
        held = sum(
            a.nbytes for p in loop._plans.values() for a in (p.places, p.packed, p.published, p.sums, p.counters)
        )
        assert held == loop.workspace_bytes(T, B, training)


def test_what_the_engine_cannot_do(on):
    on(Machine(2, 2048, 64))
    wanted = r"engine 'cuda' cannot hold lstm at H=64: its recurrent weights take 0.1 MB in float32.*'cuda_steps'"
    with pytest.raises(RnnbenchError, match=wanted):
        Layer("lstm", INPUTS, 64, engine=ENGINE)
    wanted = r"cannot hold delta_net at H=64: matrix states of the 64 units .* take 16 kB, .* has 2 kB .*'cuda_steps'"
    with pytest.raises(RnnbenchError, match=wanted):
        Layer("delta_net", INPUTS, 64, engine=ENGINE)
    with pytest.raises(RnnbenchError, match="precision 'tf32' is for dtype 'float32', got dtype 'float64'"):
        Layer("lstm", INPUTS, UNITS, engine=ENGINE, dtype="float64", precision="tf32")


def test_barriers_stand_where_a_product_reads_what_others_wrote():
    """One for every stage with products, whatever the number of matrices; none without products."""
    ones, twos = ("lstm", "gru", "lru"), ("gru_reset_before", "lem")
    for cell, counts in [(c, (1, 1)) for c in ones] + [(c, (2, 2)) for c in twos] + [("indrnn", (0, 0))]:
        program = rnnbench.get_cell(cell).program
        found = tuple(len(exchange(program, kind).barriers) for kind in ("training", "backward"))
        assert found == counts, cell


def test_a_grid_is_no_larger_than_the_machine():
    """For whatever cell, size and batch: blocks wait for one another, so all must run at once."""
    machine = Machine(12, 100_000, 256)
    for cell in FEW[:3]:
        for hidden in (1, 33, 100):
            for batch in (1, 64, 1000):
                for kind in ("forward", "training", "backward"):
                    for precision in ("float32", "float64", *PRECISIONS):
                        tiling = choose(rnnbench.get_cell(cell).program, kind, hidden, batch, precision, machine)
                        assert not isinstance(tiling, str)
                        shape = tiling.shape
                        assert shape.blocks == 1 or shape.blocks * tiling.groups <= machine.processors
                        assert shape.blocks * shape.units >= hidden > (shape.blocks - 1) * shape.units
                        assert shape.units * shape.rows <= shape.threads <= machine.threads
                        assert tiling.shared_bytes <= machine.shared


def test_parts_of_several_blocks_all_run_at_once_too():
    """Blocks of all parts of recurrent matrices with blocks on the diagonal, where a part takes more than one."""
    machine, several = Machine(24, 3000, 64), 0
    for hidden in (40, 80):
        for batch in (1, 9):
            tiling = choose(rnnbench.get_cell("lstm").program, "training", hidden, batch, "float32", machine, 4)
            assert not isinstance(tiling, str)
            shape, width = tiling.shape, tiling.shape.widths[0]
            assert width.count * shape.parts == hidden
            assert shape.blocks == 1 or shape.blocks * tiling.groups * shape.parts <= machine.processors
            several += shape.blocks > 1 and shape.parts == 4
    assert several


def test_a_kernel_that_fails_does_not_leave_others_waiting(on, monkeypatch):
    """In the simulator; on a device a fault ends the whole grid."""
    from rnnbench.engines.cuda.driver import simulated

    if not simulated():
        pytest.skip("a device's faults cannot be made on purpose without losing its context")
    on(SEVERAL["lstm"])
    layer = new_layer("lstm")
    problem = problems.pose(layer, T, B)
    y, _ = layer.forward(problem.x, problem.state)
    names = next(iter(loop_of(layer)._plans.values())).kernel.fn.__globals__
    arrive = names["arrive"]

    def fails(counters, group):
        if threading.current_thread().blockIdx.x == 1:  # type: ignore[attr-defined]
            raise ZeroDivisionError("of one block")
        arrive(counters, group)

    monkeypatch.setitem(names, "arrive", fails)
    with pytest.raises(ZeroDivisionError, match="of one block"):
        layer.forward(problem.x, problem.state)
    assert y.shape == (T, B, UNITS)


@pytest.mark.parametrize(("cell", "heads"), [("lstm_layernorm", None), ("mlstm", 2), ("slstm", 2)])
def test_rows_of_the_gpu_benchmark_can_run(cell, heads, monkeypatch):
    """At sizes for the simulator: what checks a row, and what is timed, on both engines."""
    from benchmarks import gpu

    monkeypatch.setattr(gpu, "CHECKED_STEPS", 2)
    row = gpu.Row(cell, (2, 2, 4, 4), "training", ("steps", 1.5), None, None, heads)
    assert gpu.check(row) <= 1
    for engine in ("cuda", "cuda_steps"):
        run, _ = gpu.ours(row, engine)
        run()
