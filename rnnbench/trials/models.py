"""The untrained model of a trial: embedding, layers of its cell or control, what is around them, and the readout."""

from collections.abc import Iterator

import numpy as np

from rnnbench.cells import get_cell
from rnnbench.errors import RnnbenchError
from rnnbench.nn.bidirectional import Bidirectional
from rnnbench.nn.dense import Embedding
from rnnbench.nn.layer import Layer
from rnnbench.nn.model import Model
from rnnbench.nn.pooling import pooling_parameters
from rnnbench.nn.stack import Recurrent, Stack
from rnnbench.nn.wrapped import Dropout, Residual
from rnnbench.tasks.task import Task
from rnnbench.trials.controls import CONTROLS, Sizes, hyper_of
from rnnbench.trials.trial import Trial


def build_model(trial: Trial, task: Task) -> Model:
    """Return the untrained model of ``trial``; every layer and direction has weights of its own, from the seed."""
    embedding: list[Recurrent] = []
    size = task.input_size
    if trial.embedding is not None:
        embedding.append(Embedding(size, trial.embedding, trial.dtype, weight_seed(trial.seed, 0, 1)))
        size = trial.embedding
    if trial.cell in CONTROLS:
        sizes = Sizes(trial, task, size, _seeds(trial))
        layers = CONTROLS[trial.cell](sizes, **hyper_of(trial.cell, trial.hyper))
    else:
        layers = _recurrent(trial, size)
    if trial.dropout:
        dropped: list[Recurrent] = [
            Dropout(layer, trial.dropout, weight_seed(trial.seed, 0, 3, place)) for place, layer in enumerate(layers)
        ]
        layers = dropped
    if trial.residual:
        layers = _with_connections(layers)
    return Model(
        task,
        Stack([*embedding, *layers]),
        seed=weight_seed(trial.seed, 0),
        pooling=trial.pooling,
        pooling_seed=weight_seed(trial.seed, 0, 2),
    )


def parameter_count(trial: Trial) -> int:
    """Return the trainable numbers of the trial's whole model, embedding, pooling and readout among them.

    Those of a recurrent cell are counted from its equations, without a model or kernels being made.
    """
    task = trial.get_task()
    if trial.cell in CONTROLS:
        return build_model(trial, task).parameter_count
    spec, directions = get_cell(trial.cell), 2 if trial.bidirectional else 1
    embedded = 0 if trial.embedding is None else task.input_size * trial.embedding
    size, total = trial.embedding or task.input_size, embedded
    for _ in range(trial.layers):
        total += directions * spec.param_count(size, trial.hidden, **trial.hyper)
        size = directions * spec.trace(**trial.hyper).output_size(trial.hidden)
    return total + pooling_parameters(trial.pooling, size) + (size + 1) * task.output_size


def state_size(trial: Trial) -> int:
    """Return the numbers that the trial's model carries from step to step for each sequence, of all layers.

    Raises RnnbenchError for a control: it has no state.
    """
    if trial.cell in CONTROLS:
        raise RnnbenchError(f"{trial.cell!r} is a control: it has no state whose size could be matched")
    program = get_cell(trial.cell).trace(**trial.hyper)
    program.check_hidden(trial.hidden)
    return program.state_size(trial.hidden) * trial.layers * (2 if trial.bidirectional else 1)


def weight_seed(seed: int, *place: int) -> int:
    """Return the seed of the weights at one place in a model: 1, 2, ... for layers, 0 for the readout, 0, n beside."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])


def _seeds(trial: Trial) -> Iterator[int]:
    place = 0
    while True:
        place += 1
        yield weight_seed(trial.seed, place)


def _recurrent(trial: Trial, size: int) -> list[Recurrent]:
    seeds = _seeds(trial)

    def layer(input_size: int) -> Layer:
        return Layer(
            trial.cell,
            input_size=input_size,
            hidden_size=trial.hidden,
            engine=trial.engine,
            dtype=trial.dtype,
            seed=next(seeds),
            init=trial.init,
            threads=1,
            checkpoint=None,
            structures=None,
            precision=None,
            **trial.hyper,
        )

    layers: list[Recurrent] = []
    for _ in range(trial.layers):
        layers.append(Bidirectional(layer(size), layer(size)) if trial.bidirectional else layer(size))
        size = layers[-1].output_size
    return layers


def _with_connections(layers: list[Recurrent]) -> list[Recurrent]:
    """Put a residual connection around every layer whose input and output have one size."""
    if not any(layer.input_size == layer.output_size for layer in layers):
        sizes = ", ".join(f"{layer.input_size} to {layer.output_size}" for layer in layers)
        raise RnnbenchError(f"residual needs a layer whose input and output have one size, got {sizes}")
    return [Residual(layer) if layer.input_size == layer.output_size else layer for layer in layers]
