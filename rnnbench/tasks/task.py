"""What a task is: seeded data, a loss, a score, what blind guessing reaches, and classical baselines."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, get_args

import numpy as np

from rnnbench.errors import RnnbenchError, positive, unknown
from rnnbench.nn.losses import mean_squared_error, softmax_cross_entropy

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
EVALUATED = 1000
"""Sequences in an evaluation set of made data, unless a task says otherwise."""


@dataclass(frozen=True)
class Batch:
    """Sequences and what should come out of them.

    ``x`` float32 [T, B, I]. ``target``: labels int64 [B] (read out at the last step) or [T, B] (at every step), or
    values float32 [B, O] or [T, B, O]. ``mask`` bool [T, B] with "every": the positions that loss and score count
    (None: all). Where sequences of one batch differ in length, x is zero after an end and the mask is False there.
    """

    x: np.ndarray
    target: np.ndarray
    mask: np.ndarray | None = None

    @property
    def size(self) -> int:
        """B, the number of sequences."""
        return self.x.shape[1]

    @property
    def weight(self) -> int:
        """The weight of this batch in a mean over batches: the positions that count, or B where there is no mask."""
        return self.size if self.mask is None else int(np.count_nonzero(self.mask))


Predictor = Callable[[Batch], np.ndarray]
"""Maps a batch to outputs shaped like a model's: [B, O] or [T, B, O]."""


class Task(ABC):
    """One problem to train a recurrent network on.

    ``length``: what the task's own docstring says (None: ``default_length``).
    Raises RnnbenchError for a length that is too small or, where the length is fixed, any other.
    """

    kind: ClassVar[Literal["regression", "classification"]]
    readout: ClassVar[Literal["last", "every"]]
    default_length: ClassVar[int]
    minimum_length: ClassVar[int] = 1
    fixed_length: ClassVar[bool] = False
    longer_is_harder: ClassVar[bool] = True
    """Whether a longer sequence has to be remembered for longer, so that a cell has a horizon on the task."""
    one_hot_input: ClassVar[bool] = False
    """Whether x shows one of ``input_size`` symbols a step, so that an embedding may stand in for its columns."""
    drawn_in_pieces: ClassVar[bool] = False
    """Whether each batch of an evaluation set is drawn for itself, and not the whole set at once and then cut."""
    input_size: int
    output_size: int
    loss_name: ClassVar[str] = ""
    """What ``loss`` is measured in ("": squared error, or nats of cross-entropy)."""
    chance_of: ClassVar[Literal["loss", "score"]]
    solved_at: ClassVar[float]
    """Score from which the task counts as solved."""
    tolerance: float
    """Regression only: a sequence is right when no output is further than this from its target."""
    chance_loss: float
    """Loss of the best prediction that does not look at the sequence."""
    chance_score: float
    """Score of that prediction."""

    def __init__(self, length: int | None = None):
        self.length = positive("length", self.default_length if length is None else length)
        if self.fixed_length and self.length != self.default_length:
            raise RnnbenchError(
                f"task {self.name!r} has a fixed length of {self.default_length}, got length {self.length}"
            )
        if self.length < self.minimum_length:
            raise RnnbenchError(
                f"task {self.name!r} needs a length of at least {self.minimum_length}, got {self.length}"
            )

    @property
    def name(self) -> str:
        """The name that ``get_task`` turns into this task: the stem of the file it is defined in."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def chance(self) -> float:
        """The chance level that the literature quotes for this task, a loss or a score as ``chance_of`` says."""
        return self.chance_loss if self.chance_of == "loss" else self.chance_score

    @property
    def longest(self) -> int:
        """T of the longest sequence there is to train on."""
        return len(self.sample(np.random.default_rng(0), 1).x)

    @property
    def fingerprint(self) -> str:
        """A hash of the data that a name and a length do not determine: "" unless they come from the user's file."""
        return ""

    def sample(self, rng: np.random.Generator, batch: int, split: Split = "train") -> Batch:
        """Return ``batch`` random sequences of a split, drawn from ``rng`` alone.

        Validation follows the distribution of test, so that a score means the same on both.
        """
        if not isinstance(rng, np.random.Generator):
            raise RnnbenchError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
        return self._draw(rng, positive("batch", batch), known_split(split), None)

    def evaluation(self, batch: int = 250, seed: int = 0, split: Split = "test") -> list[Batch]:
        """Return the fixed evaluation set of a split in batches of at most ``batch``, the same for every cell.

        Made data: drawn from a stream that no training seed gives, and balanced exactly over the labels where the
        task's own docstring does not say otherwise. Finite data: every sequence of the split once, whatever the seed.
        Batches differ in size by one at most; a mean over them is weighted by ``Batch.weight``.
        """
        rng = evaluation_rng(seed, known_split(split))
        total = self._evaluation_size(split)
        pieces = consecutive(total, positive("batch", batch))
        if self.drawn_in_pieces:
            return [self._draw(rng, size, split, first) for first, size in pieces]
        whole = self._draw(rng, total, split, 0)
        return [self._cut(whole, slice(first, first + size)) for first, size in pieces]

    def baselines(self, batch: int = 250) -> dict[str, tuple[float, float]]:
        """Return name -> (loss, score) on the test set of the classical predictors to compare a cell with.

        None for most tasks: what they have is ``chance_loss`` and ``chance_score``.
        """
        predictors = self._predictors()
        batches = self.evaluation(batch) if predictors else []
        return {name: self._measure(predictor, batches) for name, predictor in predictors.items()}

    def loss(self, output: np.ndarray, batch: Batch) -> tuple[float, np.ndarray]:
        """Return the loss to train on and its gradient with respect to ``output`` [B, O] or [T, B, O].

        Mean squared error, or cross-entropy in nats, over the positions that ``batch.mask`` lets through.
        """
        if self.kind == "regression":
            return mean_squared_error(output, batch.target, batch.mask)
        return softmax_cross_entropy(output, batch.target, batch.mask)

    def score(self, output: np.ndarray, batch: Batch) -> float:
        """Return the fraction in [0, 1] of sequences (with "every": of positions) that are right.

        Classification: the largest output is at the label. Regression: within ``tolerance`` of the target. An output
        with a NaN is wrong.
        """
        right = self._right(output, batch.target)
        return float(np.mean(right if batch.mask is None else right[batch.mask]))

    def _right(self, output: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return which outputs are right: bool [B] or [T, B]."""
        self._check(output, target)
        if self.kind == "regression":
            return np.asarray((np.abs(output.astype(np.float64) - target) <= self.tolerance).all(axis=-1))
        return np.asarray((output.argmax(axis=-1) == target) & ~np.isnan(output).any(axis=-1))

    def _check(self, output: np.ndarray, target: np.ndarray) -> None:
        expected = target.shape if self.kind == "regression" else (*target.shape, self.output_size)
        if output.shape != expected:
            raise RnnbenchError(f"output of task {self.name!r} must have shape {expected}, got {output.shape}")

    def _evaluation_size(self, split: Split) -> int:
        """Return the number of sequences in the evaluation set: for made data a multiple of every class count."""
        return EVALUATED

    def _predictors(self) -> Mapping[str, Predictor]:
        """Return the classical baselines by name."""
        return {}

    def _measure(self, predictor: Predictor, batches: list[Batch]) -> tuple[float, float]:
        """Return the mean (loss, score) of a predictor over batches."""
        outputs = [predictor(batch) for batch in batches]
        measured = [
            (self.loss(output, batch)[0], self.score(output, batch))
            for output, batch in zip(outputs, batches, strict=True)
        ]
        loss, score = np.average(measured, axis=0, weights=[batch.weight for batch in batches])
        return float(loss), float(score)

    def _cut(self, batch: Batch, part: slice) -> Batch:
        """Return the sequences ``part`` of a batch."""
        target = batch.target[part] if self.readout == "last" else batch.target[:, part]
        mask = None if batch.mask is None else np.ascontiguousarray(batch.mask[:, part])
        return Batch(np.ascontiguousarray(batch.x[:, part]), np.ascontiguousarray(target), mask)

    @abstractmethod
    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        """Return ``size`` random sequences, or with ``first`` those numbered from it in the evaluation set.

        ``first`` is 0 and ``size`` the whole set unless the task is ``drawn_in_pieces``.
        """


def classes(rng: np.random.Generator, count: int, size: int, first: int | None) -> np.ndarray:
    """Return labels in 0..count-1, int64 [size], each equally likely.

    Independent with ``first`` None; else the labels numbered from ``first`` of an exactly balanced set, shuffled.
    """
    if first is None:
        return rng.integers(count, size=size)
    return rng.permutation(np.arange(first, first + size) % count)


def one_hot(symbols: np.ndarray, count: int) -> np.ndarray:
    """Return ``symbols`` (integers in 0..count-1, [...]) as float32 [..., count]."""
    return np.eye(count, dtype=np.float32)[symbols]


def entropy(counts: np.ndarray) -> float:
    """Return the entropy in nats of the distribution that ``counts`` (numbers of at least 0, [n]) are in proportion to.

    It is the cross-entropy of the best constant prediction of data with these counts.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def evaluation_rng(seed: int, split: Split) -> np.random.Generator:
    """Return the generator of an evaluation set; the spawn key keeps it apart from ``default_rng(seed)``."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise RnnbenchError(f"seed must be a whole number of at least 0, got {seed!r}")
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=(1997, SPLITS.index(split))))


def consecutive(total: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield (first, size) of the fewest consecutive pieces of ``total`` with at most ``most`` each, nearly equal."""
    count = -(-total // most)
    edges = [total * piece // count for piece in range(count + 1)]
    return ((first, end - first) for first, end in pairwise(edges))


def summary(task: type[Task]) -> str:
    """Return the first sentence of a task's docstring, as plain text."""
    return inspect.cleandoc(task.__doc__ or "").partition("\n")[0].replace("``", "")


def known_split(split: str) -> Split:
    """Return ``split`` after checking it; RnnbenchError names the splits."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return split
