"""Bad input to a Layer: one RnnbenchError, one sentence, with the name of what is wrong."""

import re

import numpy as np
import problems
import pytest

import rnnbench
from rnnbench import Layer, RnnbenchError

T, B, INPUTS, UNITS = 4, 3, 2, 5

every_engine = pytest.mark.parametrize("engine", problems.ENGINES)


def complaint(call, *args, **kwargs) -> str:
    """Return the message of the RnnbenchError that the call raises, after checking that it is one line of text."""
    with pytest.raises(RnnbenchError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def sequence(value: float = 0.5, dtype: str = "float32") -> np.ndarray:
    return np.full((T, B, INPUTS), value, dtype)


@pytest.fixture
def layer(layer_of) -> Layer:
    return layer_of("lstm", "reference", "float32", INPUTS, UNITS)


@pytest.mark.parametrize(
    ("typed", "meant"), [("lstmm", "lstm"), ("grU", "gru"), ("elman_tan", "elman_tanh"), ("mingru", "min_gru")]
)
def test_an_unknown_cell_is_met_with_the_nearest_names(typed, meant):
    message = complaint(Layer, typed, INPUTS, UNITS, engine="reference")
    assert "cell" in message
    assert typed in message
    assert meant in re.findall(r"\w+", message)
    assert complaint(rnnbench.get_cell, typed) == message


def test_a_cell_like_no_other_is_met_with_the_list():
    message = complaint(rnnbench.get_cell, "qqqqqq")
    assert all(name in message for name in rnnbench.cells())


@pytest.mark.parametrize("cell", [None, 3, ["lstm"], ""])
def test_a_cell_that_is_no_name_is_an_unknown_cell(cell):
    assert "cell" in complaint(Layer, cell, INPUTS, UNITS, engine="reference")


@pytest.mark.parametrize(("typed", "meant"), [("CPU", "cpu"), ("referense", "reference"), ("cpuu", "cpu")])
def test_an_unknown_engine_is_met_with_the_nearest_names(typed, meant):
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine=typed)
    assert "engine" in message
    assert typed in message
    assert meant in re.findall(r"\w+", message)


def test_an_engine_that_cannot_run_here_says_why():
    for engine, reason in rnnbench.engines().items():
        if reason is not None:
            message = complaint(Layer, "lstm", INPUTS, UNITS, engine=engine)
            assert engine in message
            assert reason in message


@pytest.mark.parametrize("dtype", ["float16", "float_32", "int32", "complex128", np.float16, None, 32, "no such thing"])
def test_an_unknown_dtype_is_met_with_one_there_is(dtype):
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine="reference", dtype=dtype)
    assert "dtype" in message
    assert str(dtype) in message
    assert re.search("float32|float64", message)


@every_engine
@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
@pytest.mark.parametrize("size", [0, -1, 2.5, "4", None, True])
def test_a_size_is_a_whole_number_of_at_least_one(engine, name, size):
    sizes = {"input_size": INPUTS, "hidden_size": UNITS, name: size}
    message = complaint(Layer, "lstm", engine=engine, **sizes)
    assert name in message
    assert str(size) in message


@every_engine
@pytest.mark.parametrize("threads", [0, -2, 1.5, "all"])
def test_threads_are_a_whole_number_of_at_least_one(engine, threads):
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine=engine, threads=threads)
    assert "threads" in message
    assert str(threads) in message


def test_more_threads_than_cores_are_refused():
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine="cpu", threads=100_000)
    assert message.startswith("threads ")
    assert "100000" in message


def test_an_unknown_hyper_parameter_is_named():
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine="reference", forget_bias=1.0)
    assert "forget_bias" in message
    assert "lstm" in message
    assert "hyper-parameter" in message


def test_a_hyper_parameter_is_met_with_the_nearest_names_and_takes_a_number(tmp_path):
    file = tmp_path / "leaky.py"
    file.write_text(
        "from rnnbench.lang import cell, tanh\n\n\n@cell(states='h')\n"
        "def leaky(x, R, b, h, leak=0.5):\n    return (1 - leak) * h + leak * tanh(x.h + R.h(h) + b.h)\n",
        encoding="utf-8",
    )
    name = f"{file}:leaky"
    Layer(name, INPUTS, UNITS, engine="reference", leak=0.25)
    message = complaint(Layer, name, INPUTS, UNITS, engine="reference", leek=0.25)
    assert "leek" in message
    assert "leak" in re.findall(r"\w+", message)
    assert "leak" in complaint(Layer, name, INPUTS, UNITS, engine="reference", leak="much")


@pytest.mark.parametrize(
    ("init", "named"),
    [
        ({"b.q": 1.0}, "b.q"),
        ({"R": "orthogonall"}, "orthogonal"),
        ({"W": "identity"}, "identity"),
        ({"W": "normal(a)"}, "normal(a)"),
        ({"W": "normal(1, 2, 3)"}, "normal"),
        ({"W": "normal(-1)"}, "normal"),
        ({"W": None}, "None"),
        ({"b.f": float("nan")}, "nan"),
    ],
)
def test_a_bad_initialiser_is_named(init, named):
    assert named in complaint(Layer, "lstm", INPUTS, UNITS, engine="reference", init=init)


@pytest.mark.parametrize("seed", [-1, 1.5, "zero"])
def test_a_bad_seed_is_named(seed):
    message = complaint(Layer, "lstm", INPUTS, UNITS, engine="reference", seed=seed)
    assert "seed" in message
    assert str(seed) in message


@every_engine
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "shape",
    [(T, B), (B, INPUTS), (T, B, INPUTS + 1), (T, B, INPUTS, 1), (0, B, INPUTS), (T, 0, INPUTS), (), (T * B * INPUTS,)],
    ids=str,
)
def test_x_of_a_wrong_shape_is_named_with_both_shapes(engine, shape, training, layer_of):
    layer = layer_of("lstm", engine, "float32", INPUTS, UNITS)
    message = complaint(layer.forward, np.zeros(shape, "float32"), training=training)
    assert message.startswith("x ")
    assert str(list(shape)) in message
    assert "[T, B, I]" in message


@every_engine
@pytest.mark.parametrize("dtype", ["float64", "int64", "complex64", "bool", "object"])
def test_x_of_a_wrong_dtype_is_named_with_both_dtypes(engine, dtype, layer_of):
    message = complaint(layer_of("lstm", engine, "float32", INPUTS, UNITS).forward, sequence(1.0, dtype))
    assert message.startswith("x ")
    assert dtype in message
    assert "float32" in message


@pytest.mark.parametrize("x", [None, [[[1.0, 2.0]]], "x", 3.0])
def test_x_that_is_no_array_is_named(layer, x):
    message = complaint(layer.forward, x)
    assert message.startswith("x ")
    assert type(x).__name__ in message


@every_engine
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_in_x_that_is_not_finite_is_named_with_its_place(engine, value, layer_of):
    x = sequence()
    x[2, 1, 0] = value
    message = complaint(layer_of("lstm", engine, "float32", INPUTS, UNITS).forward, x)
    assert message.startswith("x ")
    assert str(value) in message
    assert "[2, 1, 0]" in message


def test_infinities_that_cancel_are_found(layer):
    x = sequence()
    x[0, 0, 0], x[0, 0, 1] = np.inf, -np.inf
    assert complaint(layer.forward, x).startswith("x ")


def test_finite_numbers_whose_sum_is_not_finite_are_taken(layer):
    y, _ = layer.forward(sequence(float(np.finfo("float32").max) / 4))
    assert np.isfinite(y).all()


@pytest.mark.parametrize("outputs", ["first", "", None, 1])
def test_outputs_is_all_or_last(layer, outputs):
    message = complaint(layer.forward, sequence(), outputs=outputs)
    assert message.startswith("outputs ")
    assert "'all'" in message
    assert "'last'" in message


@pytest.mark.parametrize("argument", ["state", "dfinal"])
def test_states_are_checked_by_name_shape_dtype_and_value(layer, argument):

    def told(states: dict) -> str:
        if argument == "state":
            return complaint(layer.forward, sequence(), states)
        layer.forward(sequence(), training=True)
        return complaint(layer.backward, np.zeros((T, B, UNITS), "float32"), states)

    good = np.zeros((B, UNITS), "float32")
    message = told({"hh": good})
    assert argument in message
    assert "'hh'" in message
    for bad, words in (
        (np.zeros((B + 1, UNITS), "float32"), [f"[{B + 1}, {UNITS}]", "[B, H]"]),
        (np.zeros((1, B, UNITS), "float32"), [f"[1, {B}, {UNITS}]"]),
        (np.zeros((B, UNITS)), ["float64", "float32"]),
        (np.full((B, UNITS), np.nan, "float32"), ["nan"]),
        ([[0.0]], ["list"]),
    ):
        message = told({"h": good, "c": bad})
        for word in (argument, "'c'", *words):
            assert word in message


@pytest.mark.parametrize("states", [[1, 2], np.zeros((B, UNITS), "float32"), "h"], ids=["list", "array", "str"])
def test_states_that_are_no_mapping_are_named(layer, states):
    assert "state" in complaint(layer.forward, sequence(), states)
    layer.forward(sequence(), training=True)
    assert "dfinal" in complaint(layer.backward, np.zeros((T, B, UNITS), "float32"), states)


@every_engine
def test_backward_needs_a_training_forward_just_before(engine, layer_of):
    dy = np.zeros((T, B, UNITS), "float32")
    fresh = Layer("lstm", INPUTS, UNITS, engine=engine)
    assert "forward(..., training=True)" in complaint(fresh.backward, dy)
    fresh.forward(sequence(), training=True)
    fresh.backward(dy)
    fresh.forward(sequence())
    assert "forward(..., training=True)" in complaint(fresh.backward, dy)


@every_engine
def test_dy_must_be_like_y(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    for bad, word in (
        (np.zeros((B, UNITS), "float32"), "[T, B, H]"),
        (np.zeros((T + 1, B, UNITS), "float32"), f"[{T + 1}, {B}, {UNITS}]"),
        (np.zeros((T, B, UNITS)), "float64"),
        (np.full((T, B, UNITS), np.inf, "float32"), "inf"),
        (None, "NoneType"),
    ):
        layer.forward(sequence(), training=True)
        message = complaint(layer.backward, bad)
        assert message.startswith("dy ")
        assert word in message
    layer.forward(sequence(), training=True, outputs="last")
    message = complaint(layer.backward, np.zeros((T, B, UNITS), "float32"))
    assert message.startswith("dy ")
    assert "[B, H]" in message


@every_engine
def test_a_failed_call_does_not_spoil_the_layer(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    dy = np.ones((T, B, UNITS), "float32")
    y, _ = layer.forward(sequence(), training=True)
    expected = layer.backward(dy)
    layer.forward(sequence(), training=True)
    complaint(layer.backward, dy[0])
    complaint(layer.forward, sequence(), {"h": dy}, training=True)
    got = layer.backward(dy)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    # Whether values are finite is seen on the way: what an earlier forward saved is gone then.
    layer.forward(sequence(), training=True)
    complaint(layer.forward, sequence(np.nan), training=True)
    assert "forward" in complaint(layer.backward, dy)
    layer.forward(sequence(), training=True)
    complaint(layer.backward, dy * np.nan)
    layer.forward(sequence(), training=True)
    got = layer.backward(dy)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    assert np.array_equal(layer.forward(sequence())[0], y)


@every_engine
def test_each_backward_needs_a_forward_of_its_own(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    dy = np.ones((T, B, UNITS), "float32")
    assert "forward" in complaint(layer.backward, dy)
    layer.forward(sequence(), training=True)
    layer.backward(dy)
    assert "forward" in complaint(layer.backward, dy)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2", True])
def test_checkpoint_is_a_whole_number_of_at_least_one(steps):
    assert complaint(Layer, "lstm", INPUTS, UNITS, checkpoint=steps).startswith("checkpoint ")


def test_the_reference_engine_refuses_checkpoints():
    assert "checkpoint" in complaint(Layer, "lstm", INPUTS, UNITS, engine="reference", checkpoint=2)


@every_engine
def test_a_frozen_layer_does_not_train(engine, layer_of):
    layer = layer_of("gru", engine, "float32", INPUTS, UNITS)
    layer.freeze()
    message = complaint(layer.forward, sequence(), training=True)
    assert "frozen" in message
    assert "thaw" in message
    layer.thaw()
    layer.forward(sequence(), training=True)


@pytest.mark.parametrize(("name", "sizes"), [("T", (0, 1)), ("B", (1, 0)), ("T", (1.5, 1)), ("B", (1, "2"))])
def test_workspace_sizes_are_whole_numbers_of_at_least_one(layer, name, sizes):
    assert complaint(layer.workspace_bytes, *sizes).startswith(f"{name} ")


@pytest.mark.parametrize(
    ("content", "reference", "words"),
    [
        (None, "missing.py:cell", ["missing.py"]),
        ("x = 1\n", "mine.py:cell", ["mine.py", "@cell"]),
        ("raise RuntimeError('boom')\n", "mine.py:cell", ["mine.py", "boom"]),
        ("def broken(:\n", "mine.py:cell", ["mine.py"]),
        (
            "from rnnbench.lang import cell\n\n\n@cell(states='h')\ndef mine(x, h):\n    return x.h + h\n",
            "mine.py:min",
            ["mine.py", "'min'", "mine"],
        ),
    ],
)
def test_a_cell_file_that_cannot_be_used_is_named(tmp_path, content, reference, words):
    if content is not None:
        (tmp_path / "mine.py").write_text(content, encoding="utf-8")
    message = complaint(rnnbench.load_cell, str(tmp_path / reference))
    for word in words:
        assert word in message


def test_the_error_is_a_value_error():
    assert issubclass(RnnbenchError, ValueError)
