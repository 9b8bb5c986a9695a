"""The agreement asked for before anything is timed: what it allows over many steps, and what it still refuses."""

import numpy as np
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.measure.check import TOLERANCES, check, pose, tolerance_for
from rnnbench.nn.layer import Layer

LONG = (1000, 2, 2, 8)


@pytest.fixture(scope="module")
def long():
    return pose("lstm", LONG, "float32", training=True, seed=0)


def results(question, x=None, dy=None, **changed):
    """Return what the reference gives for a question of which something is changed."""
    layer = Layer("lstm", LONG[2], LONG[3], engine="reference", dtype="float64")
    for name, array in (question.params | changed).items():
        layer.params[name][...] = array
    y, _ = layer.forward((question.x if x is None else x).astype("float64"), training=True)
    return {"y": y, **layer.backward((question.dy if dy is None else dy).astype("float64"))}


def test_a_running_sum_rounds_as_the_tolerance_says():
    terms = np.random.default_rng(0).standard_normal((10_000, 256))
    exact, rounded = np.cumsum(terms, axis=0), np.cumsum(terms.astype("float32"), axis=0)
    for T in (100, 1000, 10_000):
        spread = np.sqrt(np.mean((rounded[T - 1] - exact[T - 1]) ** 2) / np.mean(exact[T - 1] ** 2))
        law = np.finfo("float32").eps / 2 * np.sqrt(T / 2)
        assert 0.4 * law < spread < 1.6 * law
        assert tolerance_for("R.i", "float32", T) / law == pytest.approx(24, rel=0.05)


def test_the_tolerance_grows_for_gradients_of_parameters_alone_and_only_beyond_100_steps():
    for dtype, base in TOLERANCES.items():
        assert [tolerance_for(name, dtype, T) for name in ("y", "x", "b.i") for T in (1, 100)] == [base] * 6
        assert tolerance_for("y", dtype, 10_000) == tolerance_for("x", dtype, 10_000) == base
        assert tolerance_for("b.i", dtype, 10_000) == pytest.approx(100**0.5 * base)


def test_rounding_of_1000_steps_passes_in_a_gradient_and_not_in_the_output(long):
    got = dict(long.expected)
    got["b.i"] = got["b.i"] + 2e-5 * np.abs(got["b.i"]).max()
    assert check("one", got, long.expected, "float32") == {
        "max_error": pytest.approx(2e-5),
        "tolerance": pytest.approx(1e-5 * 10**0.5),
    }
    got["y"] = got["y"] + 2e-5 * np.abs(got["y"]).max()
    with pytest.raises(RnnbenchError, match=r"y is off by 2\.0e-05"):
        check("one", got, long.expected, "float32")


def test_a_dropped_bias_is_refused_at_1000_steps(long):
    for gate in "ifgo":
        got = results(long, **{f"b.{gate}": np.zeros(LONG[3])})
        for name in ("y", "x", "R.i", f"b.{gate}"):
            with pytest.raises(RnnbenchError, match="disagrees with the reference"):
                check("one", {**long.expected, name: got[name]}, long.expected, "float32")


def test_a_shifted_step_is_refused_at_1000_steps(long):
    for got in (results(long, x=np.roll(long.x, 1, axis=0)), results(long, dy=np.roll(long.dy, 1, axis=0))):
        for name in got.keys() & long.expected.keys() - {"y"}:
            with pytest.raises(RnnbenchError, match="disagrees with the reference"):
                check("one", {**long.expected, name: got[name]}, long.expected, "float32")


def test_a_gradient_that_lacks_one_step_in_1000_is_refused(long):
    dy = long.dy.copy()
    dy[500] = 0
    got = results(long, dy=dy)
    for name in long.params:
        with pytest.raises(RnnbenchError, match="disagrees with the reference"):
            check("one", {**long.expected, name: got[name]}, long.expected, "float32")
