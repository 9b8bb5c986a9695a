"""Handwritten digits that ship with scikit-learn, in a split that never changes.

Alpaydin & Kaynak 1998, Optical recognition of handwritten digits, UCI repository: 1797 images of 8 x 8, 16 grey levels.
"""

import functools
import math

import numpy as np

from rnnbench.tasks.task import Batch, Split, Task

TEST_PER_CLASS = 36
VALIDATION_PER_CLASS = 27


class Digits(Task):
    """Base of the tasks on digits: images [8, 8] in [0, 1], shown as the subclass's T steps of I pixels.

    The split follows the order of the file, in which each writer's digits stand together: the last 36 images of every
    digit are for test (20%), the 27 before them for validation (15%), the rest for training. So most test images come
    from hands never trained on, and a constant guess is right for exactly 1/10 of the test set.
    """

    kind = "classification"
    readout = "last"
    fixed_length = True
    output_size = 10
    chance_of = "score"
    chance_loss = math.log(10)
    chance_score = 1 / 10
    solved_at = 0.9

    def _evaluation_size(self, split: Split) -> int:
        return len(_split()[split][1])

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        images, labels = _split()[split]
        chosen = rng.integers(len(labels), size=size) if first is None else np.arange(first, first + size)
        sequences = images[chosen].reshape(size, self.length, self.input_size)
        return Batch(np.ascontiguousarray(sequences.transpose(1, 0, 2)), labels[chosen])


@functools.cache
def _split() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return split -> (images float32 [n, 8, 8] in [0, 1], labels int64 [n])."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    images = (np.asarray(pixels) / 16).astype(np.float32).reshape(-1, 8, 8)
    labels = np.asarray(digits).astype(np.int64)
    from_the_end = np.empty(len(labels), np.int64)
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        from_the_end[of_digit] = np.arange(len(of_digit))[::-1]
    parts = {
        "test": from_the_end < TEST_PER_CLASS,
        "validation": (from_the_end >= TEST_PER_CLASS) & (from_the_end < TEST_PER_CLASS + VALIDATION_PER_CLASS),
        "train": from_the_end >= TEST_PER_CLASS + VALIDATION_PER_CLASS,
    }
    return {split: (images[part], labels[part]) for split, part in parts.items()}
