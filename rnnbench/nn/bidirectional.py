"""Two layers over one sequence: one reads it from the first step, one from the last.

Schuster & Paliwal 1997, doi:10.1109/78.650093.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnbench.errors import RnnbenchError
from rnnbench.nn.stack import Arrays, Recurrent, check_separate, prefixed, unprefixed

_NAMES = ("forward", "backward")


class Bidirectional:
    """Concatenate a layer that reads time forwards with one that reads it backwards.

    ``forward_layer``, ``backward_layer``: separate layers of one input size and dtype; their output sizes may differ.
    Parameters, states and gradients are named "forward.W.i", "backward.h". ``params`` holds the layers' own arrays.
    A final state of the backward layer is the one after it has read step 0.
    """

    def __init__(self, forward_layer: Recurrent, backward_layer: Recurrent):
        if forward_layer.input_size != backward_layer.input_size:
            raise RnnbenchError(
                f"both directions must have one input_size, got {forward_layer.input_size} "
                f"and {backward_layer.input_size}"
            )
        check_separate((forward_layer, backward_layer))
        self.forward_layer = forward_layer
        self.backward_layer = backward_layer
        self.params: Arrays = prefixed({"forward": forward_layer.params, "backward": backward_layer.params})

    @property
    def input_size(self) -> int:
        return self.forward_layer.input_size

    @property
    def output_size(self) -> int:
        return self.forward_layer.output_size + self.backward_layer.output_size

    @property
    def dtype(self) -> Any:
        return self.forward_layer.dtype

    def forward(
        self, x: np.ndarray, state: Mapping[str, np.ndarray] | None = None, training: bool = False, outputs: str = "all"
    ) -> tuple[np.ndarray, Arrays]:
        """Run the sequence ``x`` [T, B, I] in both directions.

        ``outputs="all"``: y [T, B, Hf + Hb], where step t holds the forward layer's summary of steps 0..t beside the
        backward layer's summary of steps t..T-1. ``outputs="last"``: [B, Hf + Hb], each layer after its own last step,
        so both have read the whole sequence; it is not ``y[-1]``, whose backward half has read one step only.
        """
        states = unprefixed("state", state, _NAMES)
        reversed_x = np.ascontiguousarray(x[::-1])
        ahead, ahead_final = self.forward_layer.forward(x, states["forward"], training=training, outputs=outputs)
        back, back_final = self.backward_layer.forward(
            reversed_x, states["backward"], training=training, outputs=outputs
        )
        if outputs == "all":
            back = back[::-1]
        return np.concatenate((ahead, back), axis=-1), prefixed({"forward": ahead_final, "backward": back_final})

    def backward(self, dy: np.ndarray, dfinal: Mapping[str, np.ndarray] | None = None) -> Arrays:
        """Return the gradients of the last ``forward(..., training=True)``.

        ``dy``: shaped like its y, [T, B, Hf + Hb] or [B, Hf + Hb] ("last"); ``dfinal``: gradients with respect to final
        states. The dict has an entry for each parameter, for each initial state, and "x" [T, B, I].
        """
        dfinals = unprefixed("dfinal", dfinal, _NAMES)
        if dy.ndim not in (2, 3) or dy.shape[-1] != self.output_size:
            raise RnnbenchError(f"dy must end in {self.output_size} units, as y does, got shape {dy.shape}")
        split = self.forward_layer.output_size
        d_ahead, d_back = dy[..., :split], dy[..., split:]
        if dy.ndim == 3:
            d_back = d_back[::-1]
        ahead = self.forward_layer.backward(np.ascontiguousarray(d_ahead), dfinals["forward"])
        back = self.backward_layer.backward(np.ascontiguousarray(d_back), dfinals["backward"])
        grads = prefixed({"forward": ahead, "backward": back})
        grads["x"] = grads.pop("forward.x") + grads.pop("backward.x")[::-1]
        return grads

    def freeze(self) -> None:
        """Pack both layers' weights once, for inference."""
        self.forward_layer.freeze()
        self.backward_layer.freeze()

    def thaw(self) -> None:
        """Let in-place changes of ``params`` be seen again."""
        self.forward_layer.thaw()
        self.backward_layer.thaw()

    def to_torch(self) -> Any:
        """Return a torch.nn module with these weights (see ``rnnbench.nn.torch_weights.to_torch``)."""
        from rnnbench.nn.torch_weights import to_torch

        return to_torch(self)

    def workspace_bytes(self, T: int, B: int, training: bool) -> int:
        """Return the bytes both layers work in, with the reversed input and their two outputs before concatenation."""
        own = T * B * (self.input_size + self.output_size) * np.dtype(self.dtype).itemsize
        return own + sum(layer.workspace_bytes(T, B, training) for layer in (self.forward_layer, self.backward_layer))
