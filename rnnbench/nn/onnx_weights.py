"""Weights to ONNX: RNN, LSTM (also with peepholes or coupled gates) and GRU (both forms).

The table here serves both ways; ``onnx_reader`` reads by it. The operators keep the gates of a layer below each
other in ``W [D, G*H, I]``, ``R [D, G*H, H]`` and ``B [D, 2*G*H]`` (all input biases, then all recurrent ones),
peepholes in ``P [D, 3*H]``, for D directions, in the order that the ONNX operator specification, version 14, gives.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.nn.exchange import Arrays, Exchanged, levels, library, one_bias, row_for
from rnnbench.nn.layer import Layer

INSTALL = 'pip install "rnnbench[peers]"'
_OPSET, _IR_VERSION = 14, 8  # old enough for every supported ONNX Runtime


@dataclass(frozen=True)
class OnnxOperator:
    """An ONNX operator that computes one of our cells; ``gates`` are our names in ONNX's order."""

    kind: str
    gates: str
    activations: tuple[str, ...]
    options: Mapping[str, int] = field(default_factory=dict)
    second_biases: Mapping[str, str] = field(default_factory=dict)  # gate -> our bias inside its recurrent product
    peepholes: str = ""  # gates that have them, in ONNX's order
    # ONNX's gate -> the gate of ours whose pre-activation is minus its: 1 - sigmoid(a) is sigmoid(-a).
    opposites: Mapping[str, str] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes that say what is computed, for one direction."""
        linear = self.activations.count("Affine")
        given = {"activations": list(self.activations), **self.options}
        return given | {"activation_alpha": [1.0] * linear, "activation_beta": [0.0] * linear} if linear else given

    def arrays(self, params: Mapping[str, np.ndarray]) -> Arrays:
        """Return the operator's W, R, B (and P) of one direction, without the axis of directions, from our weights."""

        def ours(kind: str, gate: str) -> np.ndarray:
            opposite = self.opposites.get(gate)
            return params[f"{kind}.{gate}"] if opposite is None else -params[f"{kind}.{opposite}"]

        first = [ours("b", gate) for gate in self.gates]
        zeros, inside = np.zeros_like(first[0]), self.second_biases
        second = [params[inside[gate]] if gate in inside else zeros for gate in self.gates]
        found = {
            "W": np.concatenate([ours("W", gate).T for gate in self.gates]),
            "R": np.concatenate([ours("R", gate).T for gate in self.gates]),
            "B": np.concatenate(first + second),
        }
        if self.peepholes:
            found["P"] = np.concatenate([ours("p", gate) for gate in self.peepholes])
        return found

    def params(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Return our weights from what ``arrays`` gives, for one direction."""
        found = {}
        first, second = (self._by_gate(half) for half in np.split(arrays["B"], 2))
        inputs, recurrent = self._by_gate(arrays["W"]), self._by_gate(arrays["R"])
        peepholes = dict(zip(self.peepholes, np.split(arrays["P"], 3), strict=True)) if self.peepholes else {}
        for gate in self.gates:
            if gate in self.opposites.values():
                continue  # coupled to another gate, which says it all
            name, sign = (self.opposites[gate], -1) if gate in self.opposites else (gate, 1)
            found[f"W.{name}"], found[f"R.{name}"] = sign * inputs[gate].T, sign * recurrent[gate].T
            if gate in self.second_biases:
                found[f"b.{name}"], found[self.second_biases[gate]] = first[gate], second[gate]
            else:
                found[f"b.{name}"] = sign * one_bias(first[gate], second[gate])
            if gate in peepholes:
                found[f"p.{name}"] = sign * peepholes[gate]
        return found

    def _by_gate(self, array: np.ndarray) -> Arrays:
        return dict(zip(self.gates, np.split(array, len(self.gates)), strict=True))


# What the specification takes where a node does not say.
DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}
# Of cells with the same equations, the first is what from_onnx makes.
OPERATORS = {
    "elman_tanh": OnnxOperator("RNN", "h", ("Tanh",)),
    "elman_relu": OnnxOperator("RNN", "h", ("Relu",)),
    "elman_sigmoid": OnnxOperator("RNN", "h", ("Sigmoid",)),
    "irnn": OnnxOperator("RNN", "h", ("Relu",)),
    "lstm": OnnxOperator("LSTM", "iofg", DEFAULT_ACTIVATIONS["LSTM"]),
    "lstm_peephole": OnnxOperator("LSTM", "iofg", DEFAULT_ACTIVATIONS["LSTM"], peepholes="iof"),
    # ONNX Runtime couples the other way round than Greff et al.: f = 1 - i.
    "lstm_cifg": OnnxOperator(
        "LSTM", "iofg", DEFAULT_ACTIVATIONS["LSTM"], {"input_forget": 1}, peepholes="iof", opposites={"i": "f"}
    ),
    "lstm_niaf": OnnxOperator("LSTM", "iofg", ("Sigmoid", "Affine", "Tanh"), peepholes="iof"),
    "lstm_noaf": OnnxOperator("LSTM", "iofg", ("Sigmoid", "Tanh", "Affine"), peepholes="iof"),
    "gru": OnnxOperator("GRU", "zrn", DEFAULT_ACTIVATIONS["GRU"], {"linear_before_reset": 1}, {"n": "b.rn"}),
    "gru_reset_before": OnnxOperator("GRU", "zrn", DEFAULT_ACTIVATIONS["GRU"], {"linear_before_reset": 0}),
}


def recurrent_node(
    row: OnnxOperator, directions: Sequence[Mapping[str, np.ndarray]], x: str, y: str, name: str = ""
) -> tuple[Any, list[Any]]:
    """Return a node of the operator and its weights, as initializers; needs onnx.

    ``directions`` has our weights of the forward layer, or of the forward and the backward one; ``x`` and ``y`` are the
    names of the node's input [T, B, I] and output [T, D, B, H], ``name`` what the names of its weights begin with.
    """
    onnx = library("onnx", INSTALL)
    sides = [row.arrays(params) for params in directions]
    weights = {kind: np.stack([side[kind] for side in sides]) for kind in sides[0]}
    inputs = [x, *(f"{name}{kind}" for kind in "WRB")]
    if "P" in weights:
        inputs += ["", "", "", f"{name}P"]  # sequence lengths, initial hidden and cell state
    # What is per activation function is given for each direction; the rest once.
    attributes = {k: v * len(sides) if isinstance(v, list) else v for k, v in row.attributes.items()}
    direction = {"direction": "bidirectional"} if len(sides) == 2 else {}
    units = weights["R"].shape[-1]
    node = onnx.helper.make_node(row.kind, inputs, [y], hidden_size=units, **direction, **attributes)
    given = [onnx.numpy_helper.from_array(array, f"{name}{kind}") for kind, array in weights.items()]
    return node, given


def onnx_model(
    nodes: Sequence[Any], weights: Sequence[Any], dtype: str, x: tuple[str, list[str | int]], y: tuple[str, list]
) -> Any:
    """Return a checked ONNX model of ``nodes``; ``x`` and ``y`` are the name and shape of its input and its output."""
    onnx = library("onnx", INSTALL)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [[onnx.helper.make_tensor_value_info(name, kind, shape)] for name, shape in (x, y)]
    graph = onnx.helper.make_graph(list(nodes), "rnnbench", *ends, initializer=list(weights))
    imports = [onnx.helper.make_opsetid("", _OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION, producer_name="rnnbench")
    onnx.checker.check_model(model)
    return model


def to_onnx(model: Exchanged, path: str | os.PathLike[str]) -> None:
    """Write an ONNX file that computes what ``model`` does: input "x" [T, B, I], output "y" [T, B, O], any T and B.

    ``model`` is a Layer, a Bidirectional of two, or a Stack of either: one operator for each layer, one also for both
    directions. The sequence starts from states of zero. Weights keep their bits and dtype; those that have a structure
    leave as what the engine multiplies. ONNX Runtime runs float32 only; a float64 file is valid, and is for others.

    Raises RnnbenchError for a cell that ONNX has no operator for, for two directions that one operator cannot compute,
    for a path that cannot be written, and where onnx is not installed. Operators: github.com/onnx/onnx,
    docs/Operators.md, opset 14.
    """
    onnx = library("onnx", INSTALL)
    nodes, weights, x = [], [], "x"
    stacked = levels(model, "to_onnx")
    for index, level in enumerate(stacked):
        row = _one_row(level)
        y, shape = "y" if level is stacked[-1] else f"{index}.y", f"{index}.shape"
        node, arrays = recurrent_node(row, [layer.plain_weights() for layer in level], x, f"{index}.Y", f"{index}.")
        # [T, D, B, H] -> [T, B, D, H] -> [T, B, D*H]
        nodes += [
            node,
            onnx.helper.make_node("Transpose", [f"{index}.Y"], [f"{index}.Y_by_step"], perm=[0, 2, 1, 3]),
            onnx.helper.make_node("Reshape", [f"{index}.Y_by_step", shape], [y]),
        ]
        outputs = sum(layer.hidden_size for layer in level)
        weights += [*arrays, onnx.numpy_helper.from_array(np.array([0, 0, outputs]), shape)]
        x = y
    ends = ("x", ["T", "B", model.input_size]), ("y", ["T", "B", model.output_size])
    written = onnx_model(nodes, weights, np.dtype(model.dtype).name, *ends)
    try:
        onnx.save(written, path, format="protobuf")
    except OSError as error:
        raise RnnbenchError(f"to_onnx cannot write {os.fspath(path)!r}: {error.strerror}") from error


def _one_row(level: Sequence[Layer]) -> OnnxOperator:
    rows = [row_for(OPERATORS, layer, "ONNX has no operator") for layer in level]
    if rows[0] != rows[-1] or level[0].hidden_size != level[-1].hidden_size:
        cells = " and ".join(f"{layer.cell.name} with hidden_size={layer.hidden_size}" for layer in level)
        raise RnnbenchError(f"an ONNX operator has one cell and one hidden_size in both directions, got {cells}")
    return rows[0]
