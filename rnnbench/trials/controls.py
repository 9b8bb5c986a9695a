"""Controls: models without a recurrent cell, which a trial names in the place of one.

What a control solves as well as a cell does not show the cell's memory. They read the same data through the same
readout and loss; all but random guessing are trained by the same loop.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnnbench.cells import get_cell
from rnnbench.errors import RnnbenchError, positive, unknown
from rnnbench.nn.dense import Dense
from rnnbench.nn.layer import Layer
from rnnbench.nn.stack import Recurrent
from rnnbench.nn.transformer import Block, LayerNorm, Positions, block_parameters
from rnnbench.nn.window import Window
from rnnbench.tasks.task import Task

if TYPE_CHECKING:
    from rnnbench.trials.trial import Trial


@dataclass(frozen=True)
class Sizes:
    """What a control is built from: the trial, its task, I of the first layer, and a weight seed for each layer."""

    trial: "Trial"
    task: Task
    input_size: int
    seeds: Iterator[int]


def mlp_last(sizes: Sizes) -> list[Recurrent]:
    """A multilayer perceptron that sees the input of one step, the last: ``layers`` hidden layers of ``hidden`` ReLUs.

    What it solves needs no memory at all.
    """
    return _perceptron(sizes, [], sizes.input_size)


def mlp_window(sizes: Sizes) -> list[Recurrent]:
    """A multilayer perceptron that sees the whole window: ``layers`` hidden layers of ``hidden`` ReLUs.

    The window is as long as the longest training sequence, and ends at the step that is read out; of longer sequences
    it sees the last steps. What it solves needs no state, but a weight for every lag.
    """
    first = Window(sizes.input_size, sizes.trial.hidden, sizes.task.longest, sizes.trial.dtype, next(sizes.seeds))
    return _perceptron(sizes, [first], sizes.trial.hidden)


def transformer(sizes: Sizes, heads: int = 2, blocks: int = 0) -> list[Recurrent]:
    """A causal Transformer encoder with about as many parameters as an LSTM of the trial's sizes.

    ``blocks`` of attention with ``heads`` and a perceptron (0: two for each of ``layers``, since one alone cannot find
    what follows an earlier symbol). The multiple of ``heads`` that comes nearest to the LSTM's count is its width; the
    perceptrons, else four times as wide, make up the difference.
    """
    trial, task = sizes.trial, sizes.task
    heads, blocks = positive("heads", heads), positive("blocks", blocks or 2 * trial.layers)
    lstm, size = get_cell("lstm"), sizes.input_size
    wanted = 0
    for _ in range(trial.layers):
        wanted += lstm.param_count(size, trial.hidden)
        size = trial.hidden
    wanted += (size + 1) * task.output_size

    def missing(width: int) -> int:
        in_blocks = sum(math.prod(shape) for _, shape in block_parameters(width, 4 * width).values())
        around = (sizes.input_size + 1) * width + 2 * width + (width + 1) * task.output_size
        return wanted - around - blocks * in_blocks

    width = 2 * heads  # on one or two units a layer norm leaves nothing
    while abs(missing(width + heads)) < abs(missing(width)):
        width += heads
    inner = max(1, 4 * width + round(missing(width) / (blocks * (2 * width + 1))))
    return [
        Positions(sizes.input_size, width, trial.dtype, next(sizes.seeds)),
        *(Block(width, heads, inner, trial.dtype, next(sizes.seeds)) for _ in range(blocks)),
        LayerNorm(width, trial.dtype),
    ]


def random_guess(sizes: Sizes, units: int = 2, bound: float = 100.0) -> list[Recurrent]:
    """A tanh network whose weights are drawn anew at every step until they happen to solve the task.

    ``units`` in each of ``layers``, whatever ``hidden``: two are enough for parity, and each further weight makes a hit
    rarer. All weights, of the readout too, are uniform in +-``bound``. A step draws weights and tries them on a batch;
    on one that they solve, the validation split decides. No optimiser is used. Schmidhuber & Hochreiter 1996, Guessing
    can outperform many long time lag algorithms, IDSIA-19-96: what it solves says nothing on learning.
    """
    layers: list[Recurrent] = []
    size = sizes.input_size
    for _ in range(sizes.trial.layers):
        trial = sizes.trial
        layer = Layer(
            "elman_tanh", size, units, engine=trial.engine, dtype=trial.dtype, seed=next(sizes.seeds), threads=1
        )
        layers.append(layer)
        size = layer.output_size
    if not (math.isfinite(bound) and bound > 0):
        raise RnnbenchError(f"bound of random_guess must be a finite number above 0, got {bound!r}")
    return layers


REVISION = 1
"""Raise it when a control's definition changes, so that its earlier results are told apart."""

CONTROLS: dict[str, Callable[..., list[Recurrent]]] = {
    function.__name__: function for function in (mlp_last, mlp_window, transformer, random_guess)
}

UNSIZED = frozenset({"random_guess"})
"""Controls whose model does not depend on a trial's ``hidden``."""


def controls() -> list[str]:
    """Return the names of all controls, sorted."""
    return sorted(CONTROLS)


def hyper_of(name: str, given: Mapping[str, int | float]) -> dict[str, int | float]:
    """Return the hyper-parameters of a control, ``given`` over its own; RnnbenchError for one that it lacks."""
    parameters = list(inspect.signature(CONTROLS[name]).parameters.values())[1:]
    own = {parameter.name: parameter.default for parameter in parameters}
    for key in given:
        if not own:
            raise RnnbenchError(f"{name} has no hyper-parameters, got {key!r}")
        if key not in own:
            raise unknown(f"hyper-parameter of {name}", key, own)
    return own | dict(given)


def _perceptron(sizes: Sizes, layers: list[Recurrent], size: int) -> list[Recurrent]:
    """Add hidden layers to ``layers``, the last of which gives ``size`` units, up to the trial's number of them."""
    while len(layers) < sizes.trial.layers:
        layers.append(Dense(size, sizes.trial.hidden, sizes.trial.dtype, next(sizes.seeds)))
        size = sizes.trial.hidden
    return layers
