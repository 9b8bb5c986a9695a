"""Weights from ONNX: the recurrent operators of a file, by the table of ``onnx_weights``."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.nn.exchange import Arrays, Exchanged, assembled, layer_of, library
from rnnbench.nn.layer import DTYPES, Layer
from rnnbench.nn.onnx_weights import DEFAULT_ACTIVATIONS, INSTALL, OPERATORS

# The operators' inputs beside X, by position; W, R and B stand before them.
_SEQUENCE_LENGTHS, _INITIAL_STATES, _PEEPHOLES = 4, (5, 6), 7
# What makes zeros of zeros, whatever their shape.
_KEEPS_ZEROS = ("Cast", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze")


def from_onnx(path: str | os.PathLike[str], engine: str = "cpu", threads: int | None = None) -> Exchanged:
    """Return our layers with a copy of the weights of an ONNX file's recurrent operators.

    The operators RNN, LSTM and GRU, forward or bidirectional, must stand in a row, each reading the outputs of the one
    before: several become a Stack, two directions a Bidirectional, one alone a Layer. Whatever else the model has
    before the first and after the last (an embedding, a readout) is left out. ``engine`` and ``threads`` are as in
    ``Layer``; the dtype is that of the weights, float32 or float64. Where our cell has one bias for a gate, it is the
    sum of ONNX's two. ``input_forget=1`` is read as ONNX Runtime computes it, f = 1 - i.

    Raises RnnbenchError for what our layers do not compute (clip, layout=1, direction=reverse, sequence_lens, initial
    states other than zeros or inputs of the model, other activations, other operators in between), for a file that is
    no ONNX model, and where onnx is not installed. Operators: github.com/onnx/onnx, docs/Operators.md, opset 14.
    """
    graph = _Graph(path)
    nodes = [node for node in graph.nodes if node.op_type in DEFAULT_ACTIVATIONS and node.domain in ("", "ai.onnx")]
    if not nodes:
        kinds = ", ".join(DEFAULT_ACTIVATIONS)
        raise RnnbenchError(f"{os.fspath(path)!r} has no operator that from_onnx reads: {kinds} of its main graph")
    found = [_level(graph, node, engine, threads) for node in nodes]
    for index in range(1, len(nodes)):
        _check_handed_on(graph, nodes[index - 1], nodes[index], found[index - 1])
    return assembled(found)


class _Graph:
    """The main graph of an ONNX file: its nodes, and the values that do not depend on its inputs."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.onnx = library("onnx", INSTALL)
        # onnx cannot be imported without it.
        from google.protobuf.message import DecodeError

        try:
            model = self.onnx.load(path, format="protobuf")
            self.onnx.checker.check_model(model)
        except OSError as error:
            raise RnnbenchError(f"from_onnx cannot read {os.fspath(path)!r}: {error.strerror}") from error
        except (DecodeError, self.onnx.checker.ValidationError) as error:
            raise RnnbenchError(f"{os.fspath(path)!r} is no valid ONNX model ({_first_line(error)})") from error
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        # Old files list what they store among the inputs too.
        self.inputs = {value.name for value in model.graph.input} - self._initializers.keys()

    def attributes(self, node: Any) -> dict[str, Any]:
        """Return a node's attributes, texts as str."""
        found = {given.name: self.onnx.helper.get_attribute_value(given) for given in node.attribute}
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}

    def constant(self, name: str) -> np.ndarray | None:
        """Return the value of a tensor that is stored in the file, or None."""
        if name in self._initializers:
            return self.onnx.numpy_helper.to_array(self._initializers[name])
        node = self.makers.get(name)
        if node is not None and node.op_type == "Identity":
            return self.constant(node.input[0])
        if node is not None and node.op_type == "Constant" and "value" in self.attributes(node):
            return self.onnx.numpy_helper.to_array(self.attributes(node)["value"])
        return None

    def is_zero(self, name: str) -> bool:
        """Return whether a tensor is zero, whatever the model's inputs."""
        stored, node = self.constant(name), self.makers.get(name)
        if stored is not None:
            return not stored.any()
        if node is not None and node.op_type == "ConstantOfShape":
            value = self.attributes(node).get("value")
            return value is None or not self.onnx.numpy_helper.to_array(value).any()
        return node is not None and node.op_type in _KEEPS_ZEROS and self.is_zero(node.input[0])

    def moved(self, name: str, start: str, value: np.ndarray) -> np.ndarray | None:
        """Return what ``name`` is where ``start`` is ``value``; None unless only the order of axes lies between."""
        if name == start:
            return value
        node = self.makers.get(name)
        if node is None or node.op_type not in ("Identity", "Reshape", "Squeeze", "Transpose"):
            return None
        below = self.moved(node.input[0], start, value)
        if below is None or node.op_type == "Identity":
            return below
        given = self.attributes(node)
        if node.op_type == "Transpose":
            return below.transpose(given.get("perm"))
        second = self.constant(node.input[1]) if len(node.input) > 1 else given.get("axes")
        try:
            if node.op_type == "Squeeze":
                return below.squeeze(None if second is None else tuple(int(axis) for axis in second))
            if second is None:
                return None
            return below.reshape([below.shape[axis] if size == 0 else size for axis, size in enumerate(second)])
        except (ValueError, IndexError):  # a shape that fits other lengths or batches only
            return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(".")


def _called(node: Any) -> str:
    return f"operator {node.op_type} {node.name!r}" if node.name else f"operator {node.op_type}"


def _level(graph: _Graph, node: Any, engine: str, threads: int | None) -> list[Layer]:
    """Return the layers that a node is: one, or the forward and the backward one."""
    given = graph.attributes(node)
    _check_computed(graph, node, given)
    arrays = _arrays(graph, node)
    count = len(arrays["W"])
    units = arrays["R"].shape[-1]
    level = []
    for side, cell in enumerate(_cells(node, given, count, "P" in arrays)):
        one = {kind: array[side] for kind, array in arrays.items()}
        one.setdefault("P", np.zeros(3 * units, one["W"].dtype))
        level.append(layer_of(cell, OPERATORS[cell].params(one), engine, threads))
    return level


def _check_computed(graph: _Graph, node: Any, given: Mapping[str, Any]) -> None:
    """Raise RnnbenchError for an attribute or an input of a node that our layers have nothing for."""
    refused = None
    if "clip" in given:
        refused = f"clip={given['clip']:g}"
    elif given.get("layout", 0) != 0:
        refused = f"layout={given['layout']}"
    elif given.get("direction", "forward") not in ("forward", "bidirectional"):
        refused = f"direction={given['direction']}"
    elif given.get("input_forget", 0) not in (0, 1):
        refused = f"input_forget={given['input_forget']}"
    elif len(node.input) > _SEQUENCE_LENGTHS and node.input[_SEQUENCE_LENGTHS]:
        refused = "sequence_lens"
    if refused:
        raise RnnbenchError(f"{_called(node)} has {refused}, which our layers do not compute")
    for position in _INITIAL_STATES:
        name = node.input[position] if len(node.input) > position else ""
        if name and name not in graph.inputs and not graph.is_zero(name):
            raise RnnbenchError(
                f"{_called(node)} starts from {name!r}, which is neither zero nor an input of the model: "
                "our layers take initial states with each sequence"
            )


def _arrays(graph: _Graph, node: Any) -> Arrays:
    """Return a node's W, R, B (zeros where it has none) and, where it has peepholes, P, checked against each other."""
    found: Arrays = {}
    for kind, position in {"W": 1, "R": 2, "B": 3, "P": _PEEPHOLES}.items():
        name = node.input[position] if len(node.input) > position else ""
        if name:
            value = graph.constant(name)
            if value is None:
                raise RnnbenchError(f"{_called(node)} takes its {kind} from {name!r}, which is not stored in the file")
            found[kind] = value
    dtype = found["W"].dtype
    if dtype.name not in DTYPES:
        raise RnnbenchError(f"{_called(node)} has weights of {dtype.name}, our layers take {' or '.join(DTYPES)}")
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[node.op_type]
    count = 2 if graph.attributes(node).get("direction", "forward") == "bidirectional" else 1
    inputs, units = found["W"].shape[-1], found["R"].shape[-1]
    found.setdefault("B", np.zeros((count, 2 * gates * units), dtype))
    shapes = {
        "W": (count, gates * units, inputs),
        "R": (count, gates * units, units),
        "B": (count, 2 * gates * units),
        "P": (count, 3 * units),
    }
    for kind, array in found.items():
        if array.dtype != dtype:
            raise RnnbenchError(f"{_called(node)} has W of {dtype.name} and {kind} of {array.dtype.name}")
        if array.shape != shapes[kind]:
            raise RnnbenchError(f"{_called(node)} has {kind} of shape {list(array.shape)}, not {list(shapes[kind])}")
    return found


def _cells(node: Any, given: Mapping[str, Any], count: int, peepholes: bool) -> list[str]:
    """Return our cell for each direction of a node."""
    names = [name.decode() for name in given.get("activations", [])] or list(DEFAULT_ACTIVATIONS[node.op_type]) * count
    numbers = {key: list(given.get(key, [])) for key in ("activation_alpha", "activation_beta")}
    linear = sum(name.lower() == "affine" for name in names)
    # Of what we know, only Affine takes numbers, alpha x + beta: the specification has no default for them, and ONNX
    # Runtime takes alpha as 0.
    plain = not linear or list(numbers.values()) == [[1.0] * linear, [0.0] * linear]
    size = len(DEFAULT_ACTIVATIONS[node.op_type])
    spare = 1 if node.op_type == "RNN" else 0  # its default in the specification has two names, also for one direction
    complete = 0 <= len(names) - size * count <= spare
    sides = [names[side * size : (side + 1) * size] for side in range(count)]
    found = [_cell(node, given, side, peepholes) if plain and complete else None for side in sides]
    cells = [cell for cell in found if cell is not None]
    if len(cells) < count:
        extra = "".join(f", {key}={values}" for key, values in numbers.items() if not plain)
        coupled = ", input_forget=1" if given.get("input_forget", 0) else ""
        raise RnnbenchError(
            f"{_called(node)} has activations {', '.join(names)}{extra}{coupled}: no cell of rnnbench computes that"
        )
    return cells


def _cell(node: Any, given: Mapping[str, Any], activations: list[str], peepholes: bool) -> str | None:
    asked = {"linear_before_reset": given.get("linear_before_reset", 0), "input_forget": given.get("input_forget", 0)}
    wanted = (node.op_type, [name.lower() for name in activations], asked)
    without = dict.fromkeys(asked, 0)
    fitting = [
        cell
        for cell, row in OPERATORS.items()
        if (row.kind, [name.lower() for name in row.activations], {**without, **row.options}) == wanted
        if row.peepholes or not peepholes
    ]
    # A node without P is a cell without peepholes where there is one, else one whose peepholes are zero.
    return min(fitting, key=lambda cell: bool(OPERATORS[cell].peepholes) != peepholes, default=None)


def _check_handed_on(graph: _Graph, below: Any, above: Any, layers: list[Layer]) -> None:
    """Raise RnnbenchError unless ``above`` reads [T, B, D*H] of the output [T, D, B, H] of ``below``."""
    steps, batch, count, units = 2, 3, len(layers), layers[0].hidden_size
    # Numbers that are all different show where each goes.
    y = np.arange(steps * count * batch * units).reshape(steps, count, batch, units)
    start = below.output[0]
    arrived = graph.moved(above.input[0], start, y) if start else None
    expected = y.transpose(0, 2, 1, 3).reshape(steps, batch, count * units)
    if arrived is None or not np.array_equal(arrived, expected):
        raise RnnbenchError(
            f"{_called(above)} does not read the outputs of {_called(below)} as they are: from_onnx reads operators "
            "that stand in a row, with only a change of layout in between"
        )
