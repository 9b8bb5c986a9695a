"""The temporal order problem with two relevant symbols.

Hochreiter & Schmidhuber 1997, Neural Computation 9(8), experiment 6a. There T is drawn from 100..110, t1 from 10..20
and t2 from 50..60; here T is fixed and the ranges scale with it, so that T = 100 has the ranges of the paper.
"""

import math

import numpy as np

from rnnbench.tasks.task import Batch, Split, Task, classes, one_hot

START, END, FIRST_DISTRACTOR, X = 0, 1, 2, 6
"""Symbols: E opens, B triggers the answer; a b c d distract; X and Y (X + 1) matter."""


class TemporalOrder3(Task):
    """Tell in which order two symbols, each X or Y, came among ``length`` steps of distractors.

    x, one-hot of 8 symbols: E, distractors a b c d with X or Y at step t1 in [T/10, T/5] and again at t2 in
    [T/2, 3T/5], and B at the end. Target after the last step: the class 0..3 of XX, XY, YX, YY. ``length`` is T.

    Chance: 1/4 of the classes right.
    """

    kind = "classification"
    readout = "last"
    default_length = 100
    minimum_length = 10
    input_size = 8
    output_size = 4
    chance_of = "score"
    chance_loss = math.log(4)
    chance_score = 1 / 4
    solved_at = 0.95

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        length, columns = self.length, np.arange(size)
        label = classes(rng, 4, size, first)
        symbols = rng.integers(FIRST_DISTRACTOR, X, size=(length, size))
        symbols[0], symbols[-1] = START, END
        symbols[rng.integers(length // 10, length // 5, size=size, endpoint=True), columns] = X + label // 2
        symbols[rng.integers(length // 2, 3 * length // 5, size=size, endpoint=True), columns] = X + label % 2
        return Batch(one_hot(symbols, self.input_size), label)


TASK = TemporalOrder3
