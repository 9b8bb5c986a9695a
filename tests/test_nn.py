"""What stacking, bidirectional layers, readout and models promise beside their gradients."""

import numpy as np
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.nn.bidirectional import Bidirectional
from rnnbench.nn.layer import Layer
from rnnbench.nn.model import Model
from rnnbench.nn.readout import Linear
from rnnbench.nn.stack import NotFinite, Stack
from rnnbench.tasks import get_task

T, B, INPUTS, H = 5, 3, 2, 4


def layer(cell="gru", input_size=INPUTS, hidden_size=H, seed=0, dtype="float64"):
    return Layer(cell, input_size=input_size, hidden_size=hidden_size, engine="reference", dtype=dtype, seed=seed)


@pytest.fixture
def x():
    return np.random.default_rng(5).normal(size=(T, B, INPUTS))


def test_stack_feeds_each_layer_the_one_below(x):
    below, above = layer("lstm"), layer("gru", input_size=H, seed=1)
    stack = Stack([below, above])
    hidden, below_final = below.forward(x)
    expected, above_final = above.forward(hidden)
    y, final = stack.forward(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(stack.forward(x, outputs="last")[0], expected[-1])
    assert set(final) == {"0.h", "0.c", "1.h"}
    np.testing.assert_array_equal(final["0.c"], below_final["c"])
    np.testing.assert_array_equal(final["1.h"], above_final["h"])


def test_stack_continues_from_its_final_states(x):
    stack = Stack([layer("lstm"), Bidirectional(layer(input_size=H, seed=1), layer(input_size=H, seed=2))])
    forward_only = Stack([layer("lstm"), layer("gru", input_size=H, seed=1)])
    y, final = forward_only.forward(x)
    first, middle = forward_only.forward(x[:2])
    second, last = forward_only.forward(x[2:], middle)
    np.testing.assert_allclose(np.concatenate((first, second)), y, rtol=0, atol=1e-15)
    for name, array in final.items():
        np.testing.assert_allclose(last[name], array, rtol=0, atol=1e-15, err_msg=name)
    assert {"1.forward.h", "1.backward.h"} < set(stack.forward(x)[1])


def test_bidirectional_of_reversed_time_swaps_its_halves(x):
    ahead, back = layer(seed=1), layer(seed=2)
    y, _ = Bidirectional(ahead, back).forward(x)
    swapped, _ = Bidirectional(layer(seed=2), layer(seed=1)).forward(np.ascontiguousarray(x[::-1]))
    np.testing.assert_array_equal(y[..., :H], swapped[::-1, :, H:])
    np.testing.assert_array_equal(y[..., H:], swapped[::-1, :, :H])


def test_bidirectional_last_has_both_layers_after_the_whole_sequence(x):
    both = Bidirectional(layer(seed=1), layer(seed=2, hidden_size=3))
    y, final = both.forward(x)
    last, last_final = both.forward(x, outputs="last")
    assert (both.output_size, last.shape) == (H + 3, (B, H + 3))
    np.testing.assert_array_equal(last, np.concatenate((y[-1, :, :H], y[0, :, H:]), axis=-1))
    for name, array in final.items():
        np.testing.assert_array_equal(last_final[name], array, err_msg=name)
    np.testing.assert_array_equal(final["backward.h"], y[0, :, H:])


def test_params_are_the_layers_own_arrays(x):
    inner = layer(seed=1)
    stack = Stack([Bidirectional(inner, layer(seed=2)), layer(input_size=2 * H, seed=3)])
    assert stack.params["0.forward.W.r"] is inner.params["W.r"]
    assert {name.split(".")[0] for name in stack.params} == {"0", "1"}
    before, _ = stack.forward(x)
    stack.params["0.forward.W.r"][...] = 0
    after, _ = stack.forward(x)
    assert np.abs(before - after).max() > 1e-3


def test_frozen_layers_keep_their_weights_until_thawed(x):
    stack = Stack([Bidirectional(layer(seed=1), layer(seed=2)), layer(input_size=2 * H, seed=3)])
    before, _ = stack.forward(x)
    stack.freeze()
    for array in stack.params.values():
        array *= 0.5
    np.testing.assert_array_equal(stack.forward(x)[0], before)
    stack.thaw()
    assert np.abs(stack.forward(x)[0] - before).max() > 1e-3


def test_workspace_covers_the_layers_and_grows_with_time():
    single = layer(seed=1)
    stack = Stack([Bidirectional(layer(seed=2), layer(seed=3)), layer(input_size=2 * H, seed=4)])
    assert stack.workspace_bytes(10, B, True) > single.workspace_bytes(10, B, True)
    assert stack.workspace_bytes(20, B, True) > stack.workspace_bytes(10, B, True)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Stack([]), "at least one layer"),
        (lambda: Stack([layer(), layer(seed=1)]), "layer 1 takes input_size=2"),
        (lambda: Stack([layer(), layer(input_size=H, dtype="float32")]), "one dtype"),
        (lambda: Bidirectional(layer(), layer(input_size=3)), "one input_size"),
        (lambda: Model(get_task("digits_row"), [layer()]), "the task gives 8"),
        (lambda: Linear(0, 3), "input_size must be at least 1"),
        (lambda: Linear(3, 3, dtype="float16"), "dtype must be"),
    ],
)
def test_what_does_not_fit_is_refused(build, said):
    with pytest.raises(RnnbenchError, match=said):
        build()


def test_one_layer_cannot_stand_in_two_places():
    once = layer()
    with pytest.raises(RnnbenchError, match="given twice"):
        Bidirectional(once, once)
    square = layer(input_size=H)
    with pytest.raises(RnnbenchError, match="given twice"):
        Stack([square, square])


def test_unknown_states_are_refused(x):
    stack = Stack([layer()])
    for name in ("h", "1.h", "0.", "0.q"):
        with pytest.raises(RnnbenchError):
            stack.forward(x, {name: np.zeros((B, H))})


def test_shapes_of_gradients_are_checked(x):
    both = Bidirectional(layer(seed=1), layer(seed=2))
    both.forward(x, training=True)
    with pytest.raises(RnnbenchError, match="dy must end in 8 units"):
        both.backward(np.zeros((T, B, H)))
    linear = Linear(H, 2, dtype="float64")
    with pytest.raises(RnnbenchError, match="needs a forward"):
        linear.backward(np.zeros((B, 2)))
    with pytest.raises(RnnbenchError, match="x must end in 4 units"):
        linear.forward(np.zeros((B, 3)))
    linear.forward(np.zeros((B, H)))
    with pytest.raises(RnnbenchError, match=r"shape \(3, 2\)"):
        linear.backward(np.zeros((B, 3)))


def test_linear_starts_within_its_bound_and_follows_its_seed():
    one, same, other = Linear(50, 14, seed=1), Linear(50, 14, seed=1), Linear(50, 14, seed=2)
    np.testing.assert_array_equal(one.params["W"], same.params["W"])
    assert (one.params["W"] != other.params["W"]).all()
    bound = np.sqrt(6 / 64)
    assert 0.95 * bound < np.abs(one.params["W"]).max() <= bound
    assert (one.params["b"] == 0).all()


def test_model_reads_out_where_the_task_says():
    last, every = get_task("digits_row"), get_task("copy", length=3)
    model = Model(last, [layer(input_size=8, dtype="float32")])
    batch = last.sample(np.random.default_rng(0), 6)
    assert model.forward(batch.x).shape == (6, 10)
    model = Model(every, [layer(input_size=every.input_size, dtype="float32")])
    batch = every.sample(np.random.default_rng(0), 6)
    assert model.forward(batch.x).shape == (*batch.x.shape[:2], every.output_size)
    assert model.parameter_count == sum(array.size for array in model.params.values())
    assert model.params["readout.W"] is model.readout.params["W"]


def test_overflow_inside_a_model_is_told_from_bad_input(x):
    bottom, top = layer("elman_relu"), layer(input_size=H, seed=1)
    stack = Stack([bottom, top])
    bottom.params["W.h"][...] = 1e308
    with np.errstate(all="ignore"), pytest.raises(NotFinite, match="layer 1"):
        stack.forward(np.abs(x) + 2)
    bottom.params["W.h"][...] = 0
    stack.forward(x, training=True)
    with pytest.raises(NotFinite, match="layer 1"):
        stack.backward(np.full((T, B, H), np.inf))
    x[0, 0, 0] = np.nan
    with pytest.raises(RnnbenchError) as caught:
        stack.forward(x)
    assert not isinstance(caught.value, NotFinite)
