"""Losses against independent formulas, and their gradients against finite and complex-step differences."""

import math

import numpy as np
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.nn.losses import mean_squared_error, softmax_cross_entropy

SHAPES = [(1,), (4, 1), (5, 3), (2, 5, 3)]


def _mask(rng, shape):
    mask = rng.random(shape) < 0.6
    mask.reshape(-1)[0] = True
    return mask


def _complex_step(function, z):
    """Gradient of an analytic function by Im f(z + i 1e-30) / 1e-30: exact to rounding."""
    gradient = np.empty(z.shape)
    for index in np.ndindex(z.shape):
        moved = z.astype(np.complex128)
        moved[index] += 1e-30j
        gradient[index] = function(moved).imag / 1e-30
    return gradient


def _cross_entropy_oracle(z, labels, mask):
    """-log softmax position by position, written for complex numbers and small logits only."""
    values = [
        np.log(np.exp(z[index]).sum()) - z[index][labels[index]] for index in np.ndindex(labels.shape) if mask[index]
    ]
    return sum(values) / len(values)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_mean_squared_error_and_gradient(shape, masked):
    rng = np.random.default_rng(1)
    output, target = rng.normal(size=shape), rng.normal(size=shape)
    mask = _mask(rng, shape[:-1]) if masked and len(shape) > 1 else None
    loss, gradient = mean_squared_error(output, target, mask)
    seen = slice(None) if mask is None else mask
    np.testing.assert_allclose(loss, np.mean((output[seen] - target[seen]) ** 2), rtol=1e-14)

    def oracle(z):
        return ((z[seen] - target[seen]) ** 2).mean()

    np.testing.assert_allclose(gradient, _complex_step(oracle, output), rtol=1e-13, atol=0)
    # A quadratic: central differences of any width are exact but for rounding.
    for index in np.ndindex(shape):
        step = np.zeros(shape)
        step[index] = 0.125
        up, down = (mean_squared_error(output + sign * step, target, mask)[0] for sign in (1, -1))
        assert abs((up - down) / 0.25 - gradient[index]) < 1e-13


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 4), (4, 1)])
def test_cross_entropy_and_gradient(shape, masked):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=shape) * 3
    labels = rng.integers(shape[-1], size=shape[:-1])
    mask = _mask(rng, shape[:-1]) if masked and len(shape) > 1 else None
    every = np.ones(labels.shape, bool) if mask is None else mask
    loss, gradient = softmax_cross_entropy(logits, labels, mask)
    np.testing.assert_allclose(loss, _cross_entropy_oracle(logits, labels, every), rtol=1e-13, atol=1e-15)
    expected = _complex_step(lambda z: _cross_entropy_oracle(z, labels, every), logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-16)
    for index in np.ndindex(shape):
        step = np.zeros(shape)
        step[index] = 1e-4
        up, down = (softmax_cross_entropy(logits + sign * step, labels, mask)[0] for sign in (1, -1))
        assert abs((up - down) / 2e-4 - gradient[index]) < 1e-9


def test_equal_logits_cost_the_log_of_the_class_count():
    loss, gradient = softmax_cross_entropy(np.zeros((7, 8)), np.arange(7))
    assert loss == pytest.approx(np.log(8), rel=1e-15)
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-16)


def test_large_logits_do_not_overflow():
    logits = np.array([[3e38, -3e38], [-3e38, 3e38]], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        loss, gradient = softmax_cross_entropy(logits, np.array([0, 0]))
    assert loss == pytest.approx(2 * float(np.float32(3e38)) / 2)
    np.testing.assert_array_equal(gradient, np.array([[0, 0], [-0.5, 0.5]], np.float32))


def test_float32_keeps_its_dtype_and_accumulates_in_float64():
    rng = np.random.default_rng(3)
    output = rng.normal(size=(200_000, 1)).astype(np.float32) + np.float32(1000)
    target = np.zeros_like(output)
    loss, gradient = mean_squared_error(output, target)
    assert gradient.dtype == np.float32
    # float32 accumulation would miss by 1e-7 or more; float64 in any order of summation stays below n eps.
    exact = math.fsum(float(value) ** 2 for value in output[:, 0]) / len(output)
    assert loss == pytest.approx(exact, rel=200_000 * 2.3e-16)
    assert softmax_cross_entropy(output, np.zeros(200_000, int))[1].dtype == np.float32


def test_masked_positions_are_never_read():
    output, target = np.ones((2, 1)), np.zeros((2, 1))
    output[1] = np.nan
    mask = np.array([True, False])
    loss, gradient = mean_squared_error(output, target, mask)
    assert loss == 1
    assert gradient.tolist() == [[2.0], [0.0]]
    logits = np.array([[0.0, 0.0], [np.nan, np.inf]])
    loss, gradient = softmax_cross_entropy(logits, np.array([0, 99]), mask)
    assert loss == pytest.approx(np.log(2))
    assert gradient.tolist() == [[-0.5, 0.5], [0.0, 0.0]]


def test_nan_is_an_outcome_not_hidden():
    assert np.isnan(mean_squared_error(np.full((2, 1), np.nan), np.zeros((2, 1)))[0])
    assert np.isnan(softmax_cross_entropy(np.array([[np.nan, 0.0]]), np.array([1]))[0])


def test_arguments_are_left_alone():
    rng = np.random.default_rng(4)
    output, target = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    before = output.copy(), target.copy()
    mean_squared_error(output, target)
    softmax_cross_entropy(output, np.array([0, 1, 2, 0]))
    assert (output == before[0]).all()
    assert (target == before[1]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_squared_error(np.zeros((2, 1)), np.zeros(2)), r"shape of target, \(2,\), got \(2, 1\)"),
        (lambda: mean_squared_error(np.zeros((0, 1)), np.zeros((0, 1))), "at least one element"),
        (lambda: mean_squared_error(np.zeros((2, 1)), np.zeros((2, 1)), np.zeros(2, bool)), "at least one position"),
        (lambda: mean_squared_error(np.zeros((2, 1)), np.zeros((2, 1)), np.ones(2)), "mask must be bool"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.zeros(3, int)), r"shape of labels, \(3,\)"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.zeros(2)), "labels must be integers"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])), "0..2, got 0..3"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([-1, 0])), "0..2, got -1..0"),
        (lambda: softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 1]), np.ones(3, bool)), "mask must be bool"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(RnnbenchError, match=message):
        call()
