"""A task's whole network: recurrent layers and a linear readout, trained through one loss."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.nn.readout import Linear
from rnnbench.nn.stack import Arrays, NotFinite, Recurrent, Stack, prefixed


class Problem(Protocol):
    """What a model needs to know of a task (``rnnbench.tasks.Task`` has it all)."""

    input_size: ClassVar[int]
    output_size: ClassVar[int]
    readout: ClassVar[Literal["last", "every"]]

    def loss(self, output: np.ndarray, batch: Any) -> tuple[float, np.ndarray]: ...

    def score(self, output: np.ndarray, batch: Any) -> float: ...


class Model:
    """Put a linear readout of a task's output size on recurrent layers.

    ``task``: says where it is read out ("last": after the last step, "every": at every step) and has loss and score.
    ``layers``: a Stack, or the layers of one, bottom first. ``seed``: of the readout's weights.
    ``params``: "0.W.i" ... as in Stack, "readout.W", "readout.b"; the very arrays that the layers use.
    """

    def __init__(self, task: Problem, layers: Stack | Sequence[Recurrent], seed: int = 0):
        self.task = task
        self.stack = layers if isinstance(layers, Stack) else Stack(layers)
        if self.stack.input_size != task.input_size:
            raise RnnbenchError(
                f"the first layer takes input_size={self.stack.input_size}, but the task gives {task.input_size}"
            )
        if task.readout not in ("last", "every"):
            raise RnnbenchError(f"task.readout must be 'last' or 'every', got {task.readout!r}")
        self.dtype = np.dtype(self.stack.dtype)
        self.readout = Linear(self.stack.output_size, task.output_size, dtype=self.dtype.name, seed=seed)
        self.params: Arrays = self.stack.params | prefixed({"readout": self.readout.params})

    @property
    def parameter_count(self) -> int:
        """The number of trainable numbers."""
        return sum(array.size for array in self.params.values())

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the task's output for ``x`` [T, B, I]: [B, O] where it is read out last, else [T, B, O]."""
        outputs = "last" if self.task.readout == "last" else "all"
        x = np.ascontiguousarray(x, dtype=self.dtype)
        y, _ = self.stack.forward(x, training=training, outputs=outputs)
        return self.readout.forward(y)

    def backward(self, doutput: np.ndarray) -> Arrays:
        """Return the gradients of ``params`` after ``forward(x, training=True)``; ``doutput`` is shaped like output."""
        top = self.readout.backward(doutput.astype(self.dtype, copy=False))
        grads = self.stack.backward(top["x"])
        grads["readout.W"], grads["readout.b"] = top["W"], top["b"]
        return {name: grads[name] for name in self.params}

    def loss_and_grads(self, batch: Any) -> tuple[float, Arrays]:
        """Return the task's loss on ``batch`` and its gradients, named like ``params``.

        Raises NotFinite when the loss, or a value or gradient handed between layers, is not finite.
        """
        loss, doutput = self.task.loss(self.forward(batch.x, training=True), batch)
        if not math.isfinite(loss):
            raise NotFinite(f"the loss is no longer finite: {loss}")
        return loss, self.backward(doutput)

    def evaluate(self, batch: Any) -> tuple[float, float]:
        """Return the task's (loss, score) on ``batch``, without training."""
        output = self.forward(batch.x)
        loss, _ = self.task.loss(output, batch)
        return loss, self.task.score(output, batch)
