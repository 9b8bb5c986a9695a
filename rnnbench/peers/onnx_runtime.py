"""ONNX Runtime: its RNN, LSTM (also with peepholes) and GRU operators (both forms) on the CPU; forward only.

Where ONNX keeps each weight is in ``rnnbench.nn.onnx_weights``.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.nn.onnx_weights import INSTALL, onnx_model, recurrent_node
from rnnbench.nn.onnx_weights import OPERATORS as _CELLS
from rnnbench.peers import Workload

NAME = "onnxruntime"


def unavailable_reason() -> str | None:
    """Return why ONNX Runtime cannot be used here, or None."""
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed: {INSTALL}"
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
    _, _, I, H = work.sizes  # noqa: E741 - the legend's letters
    node, weights = recurrent_node(_CELLS[work.cell], [work.params], "X", "Y")
    ends = ("X", ["T", "B", I]), ("Y", ["T", 1, "B", H])
    model = onnx_model([node], weights, work.dtype, *ends).SerializeToString()
    return OnnxLayer(onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]))


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
