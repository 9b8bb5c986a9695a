"""A matrix state run in chunks: what is proved from the graph, and that it equals the same cell step by step."""

from typing import Any

import numpy as np
import odd_cells
import problems
import pytest
import tolerances

from rnnbench import Layer
from rnnbench.lang import cell, outer, sigmoid, tanh, total, where
from rnnbench.lang.chunks import in_chunks

CELLS = ("mlstm", "delta_net", "gated_delta_net", "rwkv7", odd_cells.projected_reads)

every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)
# T, B, I, H and heads: parts of a chunk, whole ones and more; units that vectors do not divide; one unit a head.
SIZES = [((9, 2, 3, 4), 1), ((16, 1, 3, 33), 1), ((64, 2, 4, 6), 6), ((70, 3, 4, 48), 3)]
# A chunk of 64 steps and more; the odd cells, whose keys are of no fixed length, grow without bound at so many units.
WIDE = ((70, 1, 2, 260), 1)


@cell(states="h S", matrices={"S": "heads"})
def three_values(x, h, S, heads=1):
    a = tanh(x.a)
    k = tanh(x.k) / 4
    S = sigmoid(x.f) * S + outer(k, x.v - S(k)) - outer(a / 4, S(a / 4)) + outer(x.u / 8, x.v * x.w)
    return tanh(S(x.q)) * total(S(k), heads), S


@cell(states="h S", matrices={"S": "heads"})
def without_gradients(x, p, h, S, heads=1):
    """A decay and a key that depend on nothing."""
    S = 0.5 * S + outer(where(x.k * x.k >= -1, 0.25, 0.5), x.v) + outer(tanh(x.u), p.v)
    return S(p.q), S


@cell(states="h S", matrices={"S": "heads"})
def reads_the_key(x, h, S, heads=1):
    S = S + outer(tanh(S(x.k)), x.v)
    return S(x.q), S


@cell(states="h S", matrices={"S": "heads"})
def stores_a_function(x, h, S, heads=1):
    S = S + outer(x.k, tanh(S(x.k)))
    return S(x.q), S


@cell(states="h S", matrices={"S": "heads"})
def stores_half(x, h, S, heads=1):
    S = S + outer(x.k, x.v - 0.5 * S(x.k))
    return S(x.q), S


@cell(states="h S", matrices={"S": "heads"})
def through_a_state(x, h, S, heads=1):
    S = S + outer(tanh(x.k + h), x.v)
    return tanh(S(x.q)), S


@cell(states="h S", matrices={"S": "heads"})
def dense_beside(x, R, h, S, heads=1):
    S = S + outer(x.k / 8, x.v / 8)
    return tanh(S(R.q(h))), S


def layers(cell, dtype, sizes, heads, threads=1, **options):
    """Return a layer that runs in chunks from one step on, one that never does, and the reference, of equal weights."""
    made = [
        Layer(cell, *sizes[2:], engine=engine, dtype=kind, heads=heads, threads=threads, **options)
        for engine, kind in (("cpu", dtype), ("cpu", dtype))
    ]
    made.append(Layer(cell, *sizes[2:], engine="reference", dtype="float64", heads=heads))
    problems.draw(made[0])
    for layer in made[1:]:
        for name, array in made[0].params.items():
            layer.params[name][...] = array
    for layer, least in zip(made, (1, 1 << 30), strict=False):
        layer._kernel.least_steps = least  # type: ignore[attr-defined]
    return made


def run(layer, problem):
    """Return all that a layer computes for a problem, in its own dtype."""
    kind = layer.dtype
    state = {name: value.astype(kind) for name, value in problem.state.items()}
    y, final = layer.forward(problem.x.astype(kind), state, training=True)
    forward = {"y": y, **{f"final {name}": value for name, value in final.items()}}
    dfinal = {name: value.astype(kind) for name, value in problem.dfinal.items()}
    inference, _ = layer.forward(problem.x.astype(kind), state)
    layer.forward(problem.x.astype(kind), state, training=True)
    return forward | {"inference": inference}, layer.backward(problem.dy.astype(kind), dfinal)


def agree(got, expected, dtype, sizes):
    tolerances.assert_all_close(got[0], expected[0], tolerances.forward(dtype, sizes))
    tolerances.assert_all_close(got[1], expected[1], tolerances.backward(dtype, sizes))


@pytest.mark.parametrize(
    ("cell", "sizes", "heads"),
    [
        *((cell, *sized) for cell in (*CELLS, three_values, without_gradients) for sized in SIZES),
        *((cell, *WIDE) for cell in CELLS if isinstance(cell, str)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chunks_steps_and_the_reference_agree(cell, sizes, heads, dtype):
    chunks, steps, reference = layers(cell, dtype, sizes, heads)
    problem = problems.pose(chunks, *sizes[:2])
    for name in problems.ONE_A_HEAD.get(chunks.cell.name, ()):
        units = sizes[3] // heads
        problem.state[name][...] = np.repeat(problem.state[name][:, ::units], units, axis=1)
    expected = run(reference, problem)
    agree(run(chunks, problem), expected, dtype, sizes)
    agree(run(steps, problem), expected, dtype, sizes)


@pytest.mark.parametrize(("cell", "gate", "weight"), [("gated_delta_net", "W.alpha", 200.0), ("mlstm", "W.f", -200.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_memory_that_forgets_everything_now_and_then(cell, gate, weight, dtype):
    """An input of one at every seventh step makes the decay vanish, in float32 to zero: chunks then end early."""
    sizes = (70, 2, 4, 16)
    made = layers(cell, dtype, sizes, 2)
    for layer in made:
        layer.params[gate][0] = weight
    problem = problems.pose(made[0], *sizes[:2])
    problem.x[..., 0] = (np.arange(70) % 7 == 3)[:, None]
    for name in problems.ONE_A_HEAD.get(cell, ()):
        problem.state[name][...] = np.repeat(problem.state[name][:, ::8], 8, axis=1)
    chunks, steps, expected = (run(layer, problem) for layer in made)
    agree(steps, expected, dtype, sizes)
    agree(chunks, expected, dtype, sizes)


@every_cell
@pytest.mark.parametrize("options", [{"threads": 2}, {"checkpoint": 32}], ids=str)
def test_threads_and_checkpoints_change_nothing(cell, options):
    sizes = (100, 3, 5, 24)
    chunks, steps, reference = layers(cell, "float32", sizes, 1, **options)
    problem = problems.pose(chunks, *sizes[:2])
    expected = run(reference, problem)
    agree(run(chunks, problem), expected, "float32", sizes)
    agree(run(steps, problem), expected, "float32", sizes)


@every_cell
def test_the_last_output_and_frozen_weights(cell):
    chunks, *_ = layers(cell, "float32", (40, 2, 3, 10), 1)
    problem = problems.pose(chunks, 40, 2)
    y, final = chunks.forward(problem.x, problem.state)
    last, also = chunks.forward(problem.x, problem.state, outputs="last")
    assert np.array_equal(last, y[-1])
    chunks.freeze()
    frozen, _ = chunks.forward(problem.x, problem.state)
    assert np.array_equal(frozen, y)
    assert all(np.array_equal(also[name], final[name]) for name in final)


def test_chunks_keep_the_matrix_once_a_chunk():
    """Which has 16 steps at 64 units."""
    chunks, steps, _ = layers("delta_net", "float32", (256, 4, 8, 64), 1)
    matrix = 4 * 64 * 64 * 4  # bytes of the batch's matrices
    assert steps.workspace_bytes(256, 4, True) > 256 * matrix
    longer, shorter = (chunks.workspace_bytes(T, 4, True) for T in (1024, 512))
    vectors = 4 * 64 * 4 * (1 + 8)
    assert longer - shorter < 512 / 16 * matrix + 512 * vectors * 1.1


@every_cell
def test_the_known_cells_run_in_chunks(cell):
    found = in_chunks(Layer(cell, 2, 4, engine="reference").program)
    assert not isinstance(found, str)
    assert found[0].recurrence in ("linear", "elementwise")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (reads_the_key, "a decay, key or query of S depends on what is read from it"),
        (through_a_state, "a decay, key or query of S depends on what is read from it"),
        (stores_a_function, "a value that S stores is no sum of reads and of what does not depend on them"),
        (stores_half, "a value that S stores is no sum of reads and of what does not depend on them"),
        (dense_beside, "a product with weights reads a state"),
        ("lstm", "it has no matrix states"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_cannot_run_in_chunks_says_why_and_runs_step_by_step(cell, reason):
    sizes = (20, 2, 3, 8)
    hyper: dict[str, Any] = {} if isinstance(cell, str) else {"heads": 2}
    layer = Layer(cell, *sizes[2:], dtype="float64", **hyper)
    assert in_chunks(layer.program) == reason
    problems.draw(layer)
    problem = problems.pose(layer, *sizes[:2])
    expected = problems.exact(layer, problem, **hyper)
    y, _ = layer.forward(problem.x, problem.state, training=True)
    tolerances.assert_close("y", y, expected[0], tolerances.forward("float64", sizes))
    grads = layer.backward(problem.dy, problem.dfinal)
    tolerances.assert_all_close(grads, expected[2], tolerances.backward("float64", sizes))
