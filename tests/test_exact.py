"""Weights for which theory gives the answer: memory that is kept exactly, gradients that are known in closed form."""

import numpy as np
import problems
import pytest
import tolerances

from rnnbench import Layer

ENGINES = problems.ENGINES
DTYPES = ("float32", "float64")
T, B, UNITS = 12, 3, 5
OPEN, SHUT = 1e3, -1e3  # biases that put a logistic gate at exactly 1, and at nothing that a sum could notice

pytestmark = [pytest.mark.parametrize("engine", ENGINES), pytest.mark.parametrize("dtype", DTYPES)]

# The state that a cell must keep, and the biases that make it.
KEPT = {
    "lstm": ("c", {"b.f": OPEN, "b.i": SHUT}),
    "lstm_peephole": ("c", {"b.f": OPEN, "b.i": SHUT}),
    "lstm_cifg": ("c", {"b.f": OPEN}),
    "gru": ("h", {"b.z": OPEN}),
    "gru_reset_before": ("h", {"b.z": OPEN}),
    "mgu": ("h", {"b.f": SHUT}),
    "min_gru": ("h", {"b.z": SHUT}),
    "lstm_1997": ("c", {"b.i": SHUT}),
    "lstm_nfg": ("c", {"b.i": SHUT}),
    **dict.fromkeys(
        ("lstm_np", "lstm_nog", "lstm_niaf", "lstm_noaf", "lstm_fgr", "lstm_layernorm", "lstm_multiplicative"),
        ("c", {"b.f": OPEN, "b.i": SHUT}),
    ),
    "lstm_residual": ("c", {"b.f": OPEN, "b.i": SHUT}),
    "lstm_working_memory": ("c", {"b.f": OPEN, "b.i": SHUT}),
    "ran": ("c", {"b.f": OPEN, "b.i": SHUT}),
    "gru_light": ("h", {"b.z": OPEN}),
    "light_ru": ("h", {"b.f": SHUT}),
    "mut1": ("h", {"b.z": SHUT}),
    "mut2": ("h", {"b.z": SHUT}),
    "mut3": ("h", {"b.z": SHUT}),
    "janet": ("h", {"b.f": OPEN}),
    "ugrnn": ("h", {"b.g": OPEN}),
    "intersection_rnn": ("h", {"b.gh": OPEN}),
    "minimal_rnn": ("h", {"b.u": OPEN}),
    "rhn": ("h", {"b.t1": SHUT, "b.t2": SHUT}),
    "lem": ("y", {"b.s": SHUT, "b.t": SHUT}),
    "brc": ("h", {"b.c": OPEN}),
    "nbrc": ("h", {"b.c": OPEN}),
    "sru": ("c", {"b.f": OPEN}),
    "qrnn": ("c", {"b.f": OPEN}),
    "min_lstm": ("h", {"b.f": OPEN, "b.i": SHUT}),
}


@pytest.mark.parametrize("cell", KEPT)
def test_a_gate_held_open_keeps_the_state_and_its_gradient(cell, engine, dtype, layer_of):
    layer = layer_of(cell, engine, dtype, 2, UNITS)
    state, biases = KEPT[cell]
    for name, value in biases.items():
        layer.params[name][...] = value
    rng = np.random.default_rng(0)
    x = rng.normal(size=(T, B, 2)).astype(dtype)
    start = rng.normal(size=(B, UNITS)).astype(dtype)
    upstream = rng.normal(size=(B, UNITS)).astype(dtype)
    _, final = layer.forward(x, {state: start}, training=True)
    assert np.array_equal(final[state], start)
    grads = layer.backward(np.zeros((T, B, UNITS), dtype), {state: upstream})
    assert np.array_equal(grads[state], upstream)
    assert np.abs(grads["x"]).max() < tolerances.epsilon(dtype) ** 2


@pytest.mark.parametrize("cell", KEPT)
def test_a_gate_held_open_keeps_the_state_for_ten_thousand_steps(cell, engine, dtype, layer_of):
    layer = layer_of(cell, engine, dtype, 2, UNITS)
    state, biases = KEPT[cell]
    for name, value in biases.items():
        layer.params[name][...] = value
    rng = np.random.default_rng(0)
    steps = 100 if engine == "reference" else 10_000  # an interpreter takes its time
    x = rng.normal(size=(steps, B, 2)).astype(dtype)
    start = rng.normal(size=(B, UNITS)).astype(dtype)
    _, final = layer.forward(x, {state: start})
    assert np.array_equal(final[state], start)


def test_an_active_indrnn_multiplies_the_gradient_by_its_weight_each_step(engine, dtype, layer_of):
    """Li et al. 2018, section 3.1: dh_T/dh_{T-k} = u**k where the ReLU is active."""
    layer = layer_of("indrnn", engine, dtype, 1, UNITS)
    u = np.array([0.5, 0.9, 1.0, 1.05, 1.2], dtype)
    layer.params["p.u"][...] = u
    layer.params["b.h"][...] = 0.0
    layer.params["W.h"][...] = 1.0
    x = np.full((T, B, 1), 0.25, dtype)
    y, _ = layer.forward(x, {"h": np.ones((B, UNITS), dtype)}, training=True)
    assert (y > 0).all()
    dy = np.zeros((T, B, UNITS), dtype)
    dy[-1] = 1.0
    grads = layer.backward(dy)
    powers = u.astype(float) ** np.arange(T, -1, -1)[:, None]  # the last row is T - k = T: u**0
    tolerance = tolerances.backward(dtype, (T, B, 1, UNITS))
    tolerances.assert_close("dh", grads["h"], np.broadcast_to(powers[0], (B, UNITS)), tolerance)
    # One input feeds all units: dx_t is the sum over units of u**(T-1-t).
    expected = np.broadcast_to(powers[1:].sum(axis=1)[:, None, None], (T, B, 1))
    tolerances.assert_close("dx", grads["x"], expected, tolerance)


@pytest.mark.parametrize("cell", ["elman_relu", "irnn"])
def test_a_permutation_moves_positive_states_and_brings_their_gradient_back(cell, engine, dtype, layer_of):
    """An orthogonal recurrence in the ReLU's linear region neither shrinks nor grows a gradient: G(k) = 1."""
    layer = layer_of(cell, engine, dtype, 1, UNITS)
    order = np.roll(np.arange(UNITS), 2)
    layer.params["R.h"][...] = np.eye(UNITS)[order]  # h @ R moves unit j's state to where order is j
    layer.params["W.h"][...] = 0.0
    layer.params["b.h"][...] = 0.0
    rng = np.random.default_rng(0)
    start = rng.uniform(1.0, 2.0, (B, UNITS)).astype(dtype)
    upstream = rng.normal(size=(B, UNITS)).astype(dtype)
    _, final = layer.forward(np.zeros((T, B, 1), dtype), {"h": start}, training=True)
    grads = layer.backward(np.zeros((T, B, UNITS), dtype), {"h": upstream})
    moved, back = start, upstream
    for _ in range(T):
        moved, back = moved[:, np.argsort(order)], back[:, order]
    assert np.array_equal(final["h"], moved)
    assert np.array_equal(grads["h"], back)


def test_the_identity_start_of_irnn_sums_its_inputs(engine, dtype):
    """Le et al. 2015, section 2: started at the identity and fed nothing negative, the units add up what they see."""
    layer = Layer("irnn", UNITS, UNITS, engine=engine, dtype=dtype, threads=1)
    layer.params["W.h"][...] = np.eye(UNITS)
    x = np.random.default_rng(0).integers(0, 9, (T, B, UNITS)).astype(dtype)
    y, _ = layer.forward(x)
    assert np.array_equal(y, np.cumsum(x, axis=0))


def test_min_gru_with_one_gate_value_is_an_exponential_average(engine, dtype, layer_of):
    """z = 1/2 throughout and a candidate of 1.5: h_t = 1.5 + (h_0 - 1.5) / 2**t, exactly."""
    layer = layer_of("min_gru", engine, dtype, 1, UNITS)
    for name, value in {"W.z": 0.0, "b.z": 0.0, "W.n": 0.0, "b.n": 1.0}.items():
        layer.params[name][...] = value
    start = np.arange(B * UNITS).reshape(B, UNITS).astype(dtype)
    y, _ = layer.forward(np.zeros((T, B, 1), dtype), {"h": start})
    halves = 0.5 ** np.arange(1, T + 1)[:, None, None]
    assert np.array_equal(y, (1.5 + (start - 1.5) * halves).astype(dtype))


@pytest.mark.parametrize(
    ("cell", "truth"),
    [("elman_tanh", np.tanh), ("elman_sigmoid", lambda a: 0.5 * (1.0 + np.tanh(0.5 * a)))],
    ids=["tanh", "sigmoid"],
)
def test_activations_are_accurate_over_the_whole_range(cell, truth, engine, dtype, layer_of):
    """A layer that is nothing but its activation: at most ``ACTIVATION`` epsilons off, at every size of input."""
    units = 16
    layer = layer_of(cell, engine, dtype, units, units)
    layer.params["W.h"][...] = np.eye(units)
    layer.params["R.h"][...] = 0.0
    layer.params["b.h"][...] = 0.0
    limits = np.finfo(dtype)
    positive = np.concatenate(
        [
            [0.0, limits.tiny, limits.max / 2],
            np.geomspace(limits.tiny, 1e6, 2000),
            np.linspace(0.0, 120.0, 6045),
            np.linspace(700.0, 750.0, 144),  # where exp of a float64 overflows
        ]
    )
    x = np.concatenate([positive, -positive]).astype(dtype).reshape(-1, units)
    y, _ = layer.forward(x[None])
    # Rows are sequences of one step, so that no state takes part.
    error = np.abs(y[0] - truth(x.astype(np.float64))).max()
    assert error <= tolerances.ACTIVATION * tolerances.epsilon(dtype)
    assert np.abs(y).max() <= 1.0
