"""ONNX files that others wrote, as the specification lays weights out: the same outputs here, or a sentence why not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tolerances
from exchanged_models import INPUTS, UNITS, B, T, layers_of, normal, run

import rnnbench as rb

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'rnnbench[peers]'")


class OneOperator:
    """A model of one ONNX operator, with weights drawn as the specification lays them out, not by our table."""

    def __init__(self, kind: str, inputs: tuple[str, ...] = ("B",), both: bool = False, **attributes: Any):
        gates, ways, dtype = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind], 1 + both, attributes.pop("dtype", "float32")
        shapes = {
            "W": (ways, gates * UNITS, INPUTS),
            "R": (ways, gates * UNITS, UNITS),
            "B": (ways, 2 * gates * UNITS),
            "P": (ways, 3 * UNITS),
            "h": (ways, B, UNITS),
            "lengths": (B,),
        }
        self.weights = {
            name: 0.5 * normal(dtype, *shapes[name], seed=seed) for seed, name in enumerate(["W", "R", *inputs])
        }
        if "lengths" in inputs:
            self.weights["lengths"] = np.full(B, T, "int32")
        places = [name if name in self.weights else "" for name in ("W", "R", "B", "lengths", "h", "c", "P")]
        while not places[-1]:
            places.pop()
        if both:
            attributes.setdefault("direction", "bidirectional")
        self.nodes = [
            onnx.helper.make_node(kind, ["x", *places], ["Y"], name="cell", hidden_size=UNITS, **attributes),
            onnx.helper.make_node("Transpose", ["Y"], ["by_step"], perm=[0, 2, 1, 3]),
            onnx.helper.make_node("Reshape", ["by_step", "shape"], ["y"]),
        ]
        self.weights["shape"] = np.array([0, 0, ways * UNITS])

    def save(self, path: Path) -> Path:
        helper = onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self.weights["W"].dtype)
        ends = [[helper.make_tensor_value_info(name, kind, ["T", "B", None])] for name in "xy"]
        stored = [onnx.numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        graph = helper.make_graph(self.nodes, "one operator", *ends, initializer=stored)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
        return path


LINEAR = {"activation_alpha": [1.0], "activation_beta": [0.0]}
CASES: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = [
    ("elman_tanh", "RNN", ("B",), {}),
    ("elman_relu", "RNN", ("B",), {"activations": ["Relu"]}),
    ("elman_sigmoid", "RNN", ("B",), {"activations": ["Sigmoid"]}),
    ("lstm", "LSTM", ("B",), {}),
    ("lstm", "LSTM", (), {}),
    ("lstm", "LSTM", ("B",), {"activations": ["Sigmoid", "Tanh", "Tanh"]}),
    ("lstm_peephole", "LSTM", ("B", "P"), {}),
    ("lstm_peephole", "LSTM", ("P",), {}),
    ("lstm_cifg", "LSTM", ("B", "P"), {"input_forget": 1}),
    ("lstm_cifg", "LSTM", ("B",), {"input_forget": 1}),
    ("lstm_niaf", "LSTM", ("B",), {"activations": ["Sigmoid", "Affine", "Tanh"], **LINEAR}),
    ("lstm_noaf", "LSTM", ("B", "P"), {"activations": ["Sigmoid", "Tanh", "Affine"], **LINEAR}),
    ("gru", "GRU", ("B",), {"linear_before_reset": 1}),
    ("gru_reset_before", "GRU", ("B",), {"linear_before_reset": 0}),
    ("gru_reset_before", "GRU", (), {}),
    ("gru_reset_before", "GRU", ("B",), {"activations": ["sigmoid", "tanh"]}),
]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("cell", "kind", "inputs", "attributes"), CASES, ids=str)
def test_an_onnx_operator_gives_the_same_outputs_here(tmp_path, cell, kind, inputs, attributes, both):
    doubled = {name: value * (1 + both) if isinstance(value, list) else value for name, value in attributes.items()}
    path = OneOperator(kind, inputs, both, **doubled).save(tmp_path / "model.onnx")
    ours = rb.from_onnx(path, engine="reference")
    assert [part.cell.name for part in layers_of(ours)] == [cell] * (1 + both)
    x = normal("float32", T, B, INPUTS)
    tolerances.assert_close("y", ours.forward(x)[0], run(path, x), tolerances.OUTSIDE)


def test_directions_may_differ_in_their_activations(tmp_path):
    path = OneOperator("RNN", both=True, activations=["Tanh", "Relu"]).save(tmp_path / "model.onnx")
    ours = rb.from_onnx(path, engine="reference")
    assert [part.cell.name for part in layers_of(ours)] == ["elman_tanh", "elman_relu"]
    x = normal("float32", T, B, INPUTS)
    tolerances.assert_close("y", ours.forward(x)[0], run(path, x), tolerances.OUTSIDE)


def test_the_default_activations_may_be_written_out_for_one_direction(tmp_path):
    assert onnx.defs.get_schema("RNN", 14).attributes["activations"].default_value.strings == [b"Tanh", b"Tanh"]
    path = OneOperator("RNN", activations=["Tanh", "Tanh"]).save(tmp_path / "model.onnx")
    x = normal("float32", T, B, INPUTS)
    y, _ = rb.from_onnx(path, engine="reference").forward(x)
    tolerances.assert_close("y", y, run(path, x), tolerances.OUTSIDE)


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "said"),
    [
        ("LSTM", ("B",), {"clip": 3.0}, "operator LSTM 'cell' has clip=3, which our layers do not compute"),
        ("GRU", ("B",), {"layout": 1}, "has layout=1"),
        ("RNN", ("B",), {"direction": "reverse"}, "has direction=reverse"),
        ("LSTM", ("B",), {"input_forget": 2}, "has input_forget=2"),
        ("GRU", ("B", "lengths"), {}, "has sequence_lens"),
        ("GRU", ("B", "h"), {}, "starts from 'h', which is neither zero nor an input of the model"),
        ("RNN", ("B",), {"activations": ["Softsign"]}, "has activations Softsign: no cell of rnnbench computes that"),
        ("LSTM", ("B",), {"activations": ["Sigmoid", "Tanh"]}, "has activations Sigmoid, Tanh: no cell"),
        ("GRU", ("B",), {"activations": ["HardSigmoid", "Tanh"]}, "has activations HardSigmoid, Tanh: no cell"),
        (
            "LSTM",
            ("B",),
            {"activations": ["Sigmoid", "Affine", "Tanh"], "activation_alpha": [2.0]},
            "activations Sigmoid, Affine, Tanh, activation_alpha=[2.0], activation_beta=[]: no cell",
        ),
        (
            "LSTM",
            ("B",),
            {"activations": ["Sigmoid", "Tanh", "Affine"]},
            "Affine, activation_alpha=[], activation_beta=[]",
        ),
        (
            "LSTM",
            ("B",),
            {"activations": ["Sigmoid", "Affine", "Tanh"], "input_forget": 1, **LINEAR},
            "activations Sigmoid, Affine, Tanh, input_forget=1: no cell",
        ),
        ("RNN", ("B",), {"dtype": "float16"}, "has weights of float16, our layers take float32 or float64"),
    ],
)
def test_what_an_onnx_operator_says_that_ours_do_not_compute_is_refused(tmp_path, kind, inputs, attributes, said):
    path = OneOperator(kind, inputs, **attributes).save(tmp_path / "model.onnx")
    with pytest.raises(rb.RnnbenchError, match=re.escape(said)):
        rb.from_onnx(path)


def test_initial_states_of_zero_are_read_and_a_readout_is_left_out(tmp_path):
    model = OneOperator("GRU", ("B", "h"))
    del model.weights["h"]
    helper = onnx.helper
    before = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "one", "two"], ["batch"]),
        helper.make_node("Concat", ["one", "batch", "units"], ["state_sizes"], axis=0),
        helper.make_node("ConstantOfShape", ["state_sizes"], ["empty"]),
        helper.make_node("Identity", ["empty"], ["h"]),
    ]
    model.weights |= {"one": np.array([1]), "two": np.array([2]), "units": np.array([UNITS])}
    model.weights["readout"] = normal("float32", UNITS, 2)
    reshaped = model.nodes[-1]
    reshaped.output[0] = "top"
    model.nodes = [*before, *model.nodes, helper.make_node("MatMul", ["top", "readout"], ["y"])]
    path = model.save(tmp_path / "model.onnx")
    x = normal("float32", T, B, INPUTS)
    ours = rb.from_onnx(path, engine="reference")
    assert isinstance(ours, rb.Layer)
    y = ours.forward(x)[0] @ model.weights["readout"]
    tolerances.assert_close("y", y, run(path, x), tolerances.OUTSIDE)


@pytest.mark.parametrize("between", ["Squeeze", "Squeeze and Relu", "Transpose"])
def test_operators_in_a_row_are_a_stack_unless_something_stands_between(tmp_path, between):
    model = OneOperator("LSTM")
    helper, last = onnx.helper, model.nodes[1:]
    steps = {
        "Squeeze": [helper.make_node("Squeeze", ["Y", "axis"], ["handed"])],
        "Squeeze and Relu": [
            helper.make_node("Squeeze", ["Y", "axis"], ["squeezed"]),
            helper.make_node("Relu", ["squeezed"], ["handed"]),
        ],
        "Transpose": [
            helper.make_node("Squeeze", ["Y", "axis"], ["squeezed"]),
            helper.make_node("Transpose", ["squeezed"], ["handed"], perm=[1, 0, 2]),
        ],
    }[between]
    above = helper.make_node("RNN", ["handed", "W2", "R2"], ["Y2"], hidden_size=UNITS)
    last[0].input[0] = "Y2"
    model.weights |= {"axis": np.array([1]), "W2": normal("float32", 1, UNITS, UNITS, seed=7)}
    model.weights["R2"] = 0.5 * normal("float32", 1, UNITS, UNITS, seed=8)
    model.nodes = [model.nodes[0], *steps, above, *last]
    path = model.save(tmp_path / "model.onnx")
    if between != "Squeeze":
        with pytest.raises(rb.RnnbenchError, match="operator RNN does not read the outputs of operator LSTM 'cell'"):
            rb.from_onnx(path)
        return
    x = normal("float32", T, B, INPUTS)
    tolerances.assert_close("y", rb.from_onnx(path, engine="reference").forward(x)[0], run(path, x), tolerances.OUTSIDE)


def test_a_file_that_is_not_such_a_model_is_refused(tmp_path):
    with pytest.raises(rb.RnnbenchError, match="cannot read .*nothing.onnx': No such file"):
        rb.from_onnx(tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("not a model", encoding="utf-8")
    with pytest.raises(rb.RnnbenchError, match="is no valid ONNX model"):
        rb.from_onnx(tmp_path / "text.onnx")
    model = OneOperator("RNN")
    model.nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    with pytest.raises(rb.RnnbenchError, match="has no operator that from_onnx reads: RNN, LSTM, GRU"):
        rb.from_onnx(model.save(tmp_path / "identity.onnx"))
    model = OneOperator("RNN")
    model.weights["R"] = model.weights["R"][:, :-1]
    with pytest.raises(rb.RnnbenchError, match=re.escape("has R of shape [1, 6, 7], not [1, 7, 7]")):
        rb.from_onnx(model.save(tmp_path / "odd.onnx"))
    model = OneOperator("RNN")
    model.weights["B"] = model.weights["B"].astype("float64")
    with pytest.raises(rb.RnnbenchError, match="has W of float32 and B of float64"):
        rb.from_onnx(model.save(tmp_path / "mixed.onnx"))
    model = OneOperator("RNN")
    model.nodes.insert(0, onnx.helper.make_node("Neg", ["W"], ["minus"]))
    model.nodes[1].input[1] = "minus"
    with pytest.raises(rb.RnnbenchError, match="takes its W from 'minus', which is not stored in the file"):
        rb.from_onnx(model.save(tmp_path / "computed.onnx"))
