"""Agreement with the reference: a kernel or a peer that computes something else is not timed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnbench.cells import get_cell
from rnnbench.errors import RnnbenchError
from rnnbench.nn.layer import Layer
from rnnbench.peers import Workload

# Largest difference allowed, as a part of the largest magnitude in the same array, for up to LENGTH time steps.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
LENGTH = 100
# Of a cell with a kink (relu), float32 puts about one pre-activation in a few million on the other side of it than
# float64 does, and the gradients that pass there jump: of its gradients, this share of an array's entries may be off.
# One unit's column of a weight gradient with H = 128 is 1/128.
KINK_SHARE = 1 / 64


@dataclass(frozen=True)
class Question:
    """One cell's weights and inputs, drawn from a seed, with the answer of the float64 reference.

    ``params`` as in ``Layer.params``, ``x [T, B, I]`` and ``dy [T, B, H]`` are of ``dtype``; ``expected`` holds ``"y"``
    and, with ``training``, the gradient of each parameter and of ``"x"``.
    """

    cell: str
    sizes: tuple[int, int, int, int]
    dtype: str
    training: bool
    seed: int
    params: dict[str, np.ndarray]
    x: np.ndarray
    dy: np.ndarray
    expected: dict[str, np.ndarray]

    @property
    def smooth(self) -> bool:
        """Whether the cell's derivative is continuous."""
        return get_cell(self.cell).program.smooth

    def workload(self, threads: int) -> Workload:
        """Return the question as what a contender prepares."""
        return Workload(self.cell, self.params, self.sizes, self.dtype, threads, self.training)


def pose(cell: str, sizes: tuple[int, int, int, int], dtype: str, training: bool, seed: int) -> Question:
    """Draw weights and inputs for ``cell`` at ``sizes = (T, B, I, H)`` and run the float64 reference on them."""
    if dtype not in TOLERANCES:
        raise RnnbenchError(f"dtype must be one of {', '.join(TOLERANCES)}, got {dtype!r}")
    T, B, I, H = sizes  # noqa: E741 - the legend's letters
    layer = Layer(cell, input_size=I, hidden_size=H, engine="reference", dtype="float64", seed=seed)
    rng = np.random.default_rng(seed)
    for name, array in layer.params.items():
        if name.startswith("b."):  # biases that start alike would hide one taken for another
            array += rng.uniform(-0.1, 0.1, array.shape)
        # What everyone is given is rounded to dtype; the reference starts from the same rounded numbers.
        array[...] = array.astype(dtype)
    params = {name: array.astype(dtype) for name, array in layer.params.items()}
    x = rng.standard_normal((T, B, I)).astype(dtype)
    dy = rng.standard_normal((T, B, H)).astype(dtype)
    y, _ = layer.forward(x.astype("float64"), training=training)
    expected = {"y": y}
    if training:
        gradients = layer.backward(dy.astype("float64"))
        expected |= {name: gradients[name] for name in (*params, "x")}
    return Question(cell, sizes, dtype, training, seed, params, x, dy, expected)


def tolerance_for(name: str, dtype: str, T: int) -> float:
    """Return the tolerance for ``"y"``, ``"x"`` or a parameter's gradient over ``T`` time steps.

    It is that of ``dtype``, for a parameter's gradient times sqrt(T / LENGTH) beyond LENGTH, because that is a sum over
    the steps. Sums of k terms without a common sign are of size sqrt(k). A running sum rounds by u, half the machine
    epsilon, of its size at every step; T such errors add like a random walk to u T / sqrt(2), which is u sqrt(T / 2) of
    the result. For LSTM, B=32, H=128, a float32 backward in NumPy is off by 5.1e-7, 1.3e-6 and 2.1e-6 at T=100, 1000
    and 3000 (the law says 4.2e-7, 1.3e-6 and 2.3e-6), and its y by 3e-7 at each.
    """
    return TOLERANCES[dtype] * (1.0 if name in ("y", "x") else max(1.0, math.sqrt(T / LENGTH)))


def check(
    who: str, got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], dtype: str, smooth: bool = True
) -> dict[str, float]:
    """Return the largest error of ``got`` against ``expected``, or raise if one is above ``tolerance_for`` it.

    The error of an array is its largest absolute difference divided by the largest magnitude expected in it, so that
    a sum of many terms, such as a weight's gradient, is not held to the rounding of one. The number of time steps is
    that of ``expected["y"]``. Of a cell that is not ``smooth``, a share of KINK_SHARE of a gradient's entries is left
    out.

    Returns ``{"max_error": ..., "tolerance": ...}`` of the array that is nearest to its tolerance. Raises RnnbenchError
    naming ``who`` and that array.
    """
    tolerances = {name: tolerance_for(name, dtype, len(expected["y"])) for name in expected}
    errors = {}
    for name, wanted in expected.items():
        if name not in got:
            raise RnnbenchError(f"{who} gave no {name}, so it is not timed")
        if got[name].shape != wanted.shape:
            raise RnnbenchError(f"{who} gave {name} of shape {got[name].shape} for {wanted.shape}, so it is not timed")
        scale = np.abs(wanted).max() or 1.0
        off = np.abs(got[name] - wanted)
        whole = smooth or name == "y"
        errors[name] = float((off.max() if whole else np.quantile(off, 1 - KINK_SHARE, method="lower")) / scale)
    # NaN is not below any tolerance, and max() over a dict with NaN depends on its order.
    worst = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name] / tolerances[name])
    tolerance = tolerances[worst]
    if not errors[worst] <= tolerance:
        raise RnnbenchError(
            f"{who} disagrees with the reference: {worst} is off by {errors[worst]:.1e} of its largest value "
            f"(tolerance {tolerance:.0e}), so it is not timed"
        )
    return {"max_error": errors[worst], "tolerance": tolerance}
