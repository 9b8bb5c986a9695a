"""ONNX Runtime: its RNN, LSTM (also with peepholes) and GRU operators (both forms) on the CPU; forward only.

The operators keep the gates of a layer below each other in ``W [1, G*H, I]``, ``R [1, G*H, H]`` and ``B [1, 2*G*H]``
(all input biases, then all recurrent ones), in the order that the ONNX operator specification, version 14, gives.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.peers import Workload

NAME = "onnxruntime"


@dataclass(frozen=True)
class _Operator:
    """An ONNX operator that computes one of our cells; ``gates`` are our names in ONNX's order."""

    kind: str
    gates: str
    attributes: dict[str, Any] = field(default_factory=dict)
    second_biases: dict[str, str] = field(default_factory=dict)  # gate -> our bias inside its recurrent product
    peepholes: str = ""


_CELLS = {
    "elman_tanh": _Operator("RNN", "h", {"activations": ["Tanh"]}),
    "elman_relu": _Operator("RNN", "h", {"activations": ["Relu"]}),
    "elman_sigmoid": _Operator("RNN", "h", {"activations": ["Sigmoid"]}),
    "irnn": _Operator("RNN", "h", {"activations": ["Relu"]}),
    "lstm": _Operator("LSTM", "iofg"),
    "lstm_peephole": _Operator("LSTM", "iofg", peepholes="iof"),
    "gru": _Operator("GRU", "zrn", {"linear_before_reset": 1}, {"n": "b.rn"}),
    "gru_reset_before": _Operator("GRU", "zrn", {"linear_before_reset": 0}),
}
_OPSET, _IR_VERSION = 14, 8  # old enough for every supported ONNX Runtime


def unavailable_reason() -> str | None:
    """Return why ONNX Runtime cannot be used here, or None."""
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        return f'{" and ".join(missing)} not installed: pip install "rnnbench[peers]"'
    return None


def supports(cell: str, training: bool) -> str | None:
    """Return why ONNX Runtime cannot run the cell, or None."""
    if cell not in _CELLS:
        return f"ONNX has no operator that computes {cell}"
    return "ONNX Runtime runs models and does not train them" if training else None


def prepare(work: Workload) -> "OnnxLayer":
    """Return a session with a model of one operator and our weights, at any T and B."""
    import onnxruntime

    if work.dtype != "float32":
        raise RnnbenchError(f"onnxruntime computes recurrent operators in float32, not in {work.dtype}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = work.threads, 1
    model = _model(_CELLS[work.cell], work.params, work.sizes)
    return OnnxLayer(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))


def _model(operator: _Operator, params: Mapping[str, np.ndarray], sizes: tuple[int, int, int, int]) -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    _, _, I, H = sizes  # noqa: E741 - the legend's letters
    zeros = np.zeros(H, "float32")
    first = [params[f"b.{gate}"] for gate in operator.gates]
    inside = operator.second_biases
    second = [params[inside[gate]] if gate in inside else zeros for gate in operator.gates]
    weights = {
        "W": np.concatenate([params[f"W.{gate}"].T for gate in operator.gates]),
        "R": np.concatenate([params[f"R.{gate}"].T for gate in operator.gates]),
        "B": np.concatenate(first + second),
    }
    inputs = ["X", "W", "R", "B"]
    if operator.peepholes:
        weights["P"] = np.concatenate([params[f"p.{gate}"] for gate in operator.peepholes])
        inputs += ["", "", "", "P"]  # sequence lengths, initial hidden and cell state
    node = helper.make_node(operator.kind, inputs, ["Y"], hidden_size=H, **operator.attributes)
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["T", "B", I])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["T", 1, "B", H])],
        [numpy_helper.from_array(np.ascontiguousarray(array[None]), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model)
    return model.SerializeToString()


class OnnxLayer:
    """A session behind the protocol of contenders."""

    def __init__(self, session: Any):
        self._session = session

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return ``y [T, B, H]``."""
        return self._session.run(None, {"X": x})[0][:, 0]

    def training(self, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Raise: there is no training."""
        raise RnnbenchError("onnxruntime runs models and does not train them")

    def timed(self, x: np.ndarray, dy: np.ndarray) -> Callable[[], object]:
        """Return the call that a user of ONNX Runtime would write."""
        session, feed = self._session, {"X": x}
        return lambda: session.run(None, feed)
