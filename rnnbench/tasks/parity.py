"""Parity of a bit string, scored on strings longer than any trained on.

Delétang et al. 2023, "Neural networks and the Chomsky hierarchy", arXiv:2207.02098: train on lengths 1..40, score the
mean accuracy over longer ones; 90% counts as generalising. There the test goes to 500, here to 2.5 times the length.
"""

import math

import numpy as np

from rnnbench.errors import positive
from rnnbench.tasks.task import Batch, Split, Task, classes, consecutive, evaluation_rng, known_split, one_hot

EVALUATED_LENGTHS = 60
STRINGS_PER_LENGTH = 32


class Parity(Task):
    """Tell whether a string of bits has an odd number of ones, on strings longer than those trained on.

    x: each bit one-hot, so that no bit looks like silence to a cell without biases, and 0 and 1 differ only in name.
    Target after the last bit: 1 for an odd number of ones. A batch holds strings of one length T, drawn uniformly from
    1..``length`` for training, and from ``length`` + 1..2.5 ``length`` for validation and test.

    The score is the mean accuracy over the longer strings; the evaluation set has every length (from 60 lengths on,
    60 evenly spaced ones) equally often. Chance: 1/2.
    """

    kind = "classification"
    readout = "last"
    default_length = 40
    minimum_length = 2
    input_size = 2
    output_size = 2
    chance_of = "score"
    chance_loss = math.log(2)
    chance_score = 1 / 2
    solved_at = 0.9

    def lengths(self, split: Split) -> tuple[int, int]:
        """Return the shortest and the longest string of a split."""
        if known_split(split) == "train":
            return 1, self.length
        return self.length + 1, 5 * self.length // 2

    def evaluation(self, batch: int = 250, seed: int = 0, split: Split = "test") -> list[Batch]:
        """Return the fixed evaluation set of a split: batches of one length each, shortest first, labels balanced."""
        shortest, longest = self.lengths(split)
        count = min(EVALUATED_LENGTHS, longest - shortest + 1)
        rng = evaluation_rng(seed, split)
        pieces = list(consecutive(STRINGS_PER_LENGTH, positive("batch", batch)))
        return [
            _strings(rng, int(length), size, first)
            for length in np.linspace(shortest, longest, count).round()
            for first, size in pieces
        ]

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        shortest, longest = self.lengths(split)
        return _strings(rng, int(rng.integers(shortest, longest, endpoint=True)), size, first)


def _strings(rng: np.random.Generator, length: int, size: int, first: int | None) -> Batch:
    """Return uniformly random strings: the label and all bits but the last are free, and the last follows."""
    label = classes(rng, 2, size, first)
    bits = rng.integers(2, size=(length, size))
    bits[-1] = (label + bits[:-1].sum(axis=0)) % 2
    return Batch(one_hot(bits, 2), label)


TASK = Parity
