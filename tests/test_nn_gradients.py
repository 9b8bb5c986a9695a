"""Gradients of everything that is put around a cell, against central differences in float64."""

import numpy as np
import pytest

from rnnbench.nn.bidirectional import Bidirectional
from rnnbench.nn.layer import Layer
from rnnbench.nn.losses import mean_squared_error, softmax_cross_entropy
from rnnbench.nn.model import Model
from rnnbench.nn.readout import Linear
from rnnbench.nn.stack import Stack
from rnnbench.tasks.task import Batch

T, B, INPUTS, H = 4, 3, 2, 3
STEP, TOLERANCE = 1e-6, 1e-8  # central differences of order-1 functions in float64: error about STEP^2 + 1e-16 / STEP


def layer(cell, input_size=INPUTS, hidden_size=H, seed=0):
    return Layer(cell, input_size=input_size, hidden_size=hidden_size, engine="reference", dtype="float64", seed=seed)


def two_layers():
    return Stack([layer("gru", seed=1), layer("lstm", input_size=H, seed=2)])


def both_directions():
    return Bidirectional(layer("lstm", hidden_size=2, seed=3), layer("elman_tanh", hidden_size=4, seed=4))


def bidirectional_stack():
    return Stack([both_directions(), layer("gru", input_size=6, seed=5)])


NETWORKS = [two_layers, both_directions, bidirectional_stack]


def shake(params, seed=7):
    """Move every parameter off its special initial value (zero biases hide mistakes)."""
    rng = np.random.default_rng(seed)
    for array in params.values():
        array += rng.normal(scale=0.3, size=array.shape)


def assert_gradient(value, array, gradient, name):
    """Compare ``gradient`` with central differences of ``value()`` for every element of ``array``."""
    assert gradient.shape == array.shape, name
    measured = np.empty_like(array)
    for place in np.ndindex(array.shape):
        before = array[place]
        array[place] = before + STEP
        above = value()
        array[place] = before - STEP
        below = value()
        array[place] = before
        measured[place] = (above - below) / (2 * STEP)
    np.testing.assert_allclose(gradient, measured, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("outputs", ["all", "last"])
@pytest.mark.parametrize("build", NETWORKS)
def test_network_gradients(build, outputs):
    rng = np.random.default_rng(11)
    network = build()
    shake(network.params)
    x = rng.normal(size=(T, B, INPUTS))
    _, final = network.forward(x)
    state = {name: rng.normal(scale=0.5, size=array.shape) for name, array in final.items()}
    shape = (T, B, network.output_size) if outputs == "all" else (B, network.output_size)
    dy = rng.normal(size=shape)
    dfinal = {name: rng.normal(size=array.shape) for name, array in final.items()}

    def value():
        y, ended = network.forward(x, state, outputs=outputs)
        return float((y * dy).sum() + sum((ended[name] * dfinal[name]).sum() for name in dfinal))

    network.forward(x, state, training=True, outputs=outputs)
    grads = network.backward(dy, dfinal)
    assert set(grads) == set(network.params) | set(state) | {"x"}
    for name, array in (network.params | state | {"x": x}).items():
        assert_gradient(value, array, grads[name], name)


@pytest.mark.parametrize("build", NETWORKS)
def test_states_not_given_are_zero(build):
    rng = np.random.default_rng(12)
    network = build()
    x = rng.normal(size=(T, B, INPUTS))
    y, final = network.forward(x, training=True)
    zeros = {name: np.zeros_like(array) for name, array in final.items()}
    first = next(iter(zeros))
    np.testing.assert_array_equal(network.forward(x, zeros)[0], y)
    np.testing.assert_array_equal(network.forward(x, {first: zeros[first]})[0], y)
    network.forward(x, training=True)
    without = network.backward(y)
    network.forward(x, training=True)
    for name, gradient in network.backward(y, zeros).items():
        np.testing.assert_array_equal(gradient, without[name], err_msg=name)


@pytest.mark.parametrize("shape", [(B, H), (T, B, H)])
def test_linear_gradients(shape):
    rng = np.random.default_rng(13)
    linear = Linear(H, 5, dtype="float64", seed=1)
    shake(linear.params)
    x = rng.normal(size=shape)
    doutput = rng.normal(size=(*shape[:-1], 5))

    def value():
        return float((linear.forward(x) * doutput).sum())

    linear.forward(x)
    grads = linear.backward(doutput)
    assert set(grads) == {"W", "b", "x"}
    for name, array in (linear.params | {"x": x}).items():
        assert_gradient(value, array, grads[name], name)


class Regression:
    """Two values after the last step."""

    input_size, output_size, readout = INPUTS, 2, "last"
    target = np.random.default_rng(14).normal(size=(B, 2))

    def loss(self, output, batch):
        return mean_squared_error(output, batch.target)

    def score(self, output, batch):
        return float((np.abs(output - batch.target) < 1).mean())


class Classification:
    """One of four classes at every step but the masked ones."""

    input_size, output_size, readout = INPUTS, 4, "every"
    target = np.random.default_rng(15).integers(4, size=(T, B))
    mask = np.arange(T * B).reshape(T, B) % 3 > 0

    def loss(self, output, batch):
        return softmax_cross_entropy(output, batch.target, self.mask)

    def score(self, output, batch):
        return float((output.argmax(axis=-1) == batch.target)[self.mask].mean())


@pytest.mark.parametrize("task", [Regression(), Classification()])
@pytest.mark.parametrize("build", NETWORKS)
def test_model_gradients(build, task):
    network = build()
    model = Model(task, network if isinstance(network, Stack) else [network], seed=3)
    shake(model.params)
    batch = Batch(np.random.default_rng(16).normal(size=(T, B, INPUTS)), task.target)
    loss, grads = model.loss_and_grads(batch)
    assert (loss, task.score(model.forward(batch.x), batch)) == pytest.approx(model.evaluate(batch), rel=1e-12)
    assert list(grads) == list(model.params)
    for name, array in model.params.items():
        assert_gradient(lambda: model.evaluate(batch)[0], array, grads[name], name)
