"""The next character of a text of the user's own, against unigram and trigram models.

Graves 2013, Generating sequences with recurrent neural networks, arXiv:1308.0850, section 3, and Mikolov et al. 2012,
Subword language modeling with neural networks: bits per character on the end of the text. There states are carried on
from window to window; here each window starts from a blank state.
"""

import functools
import hashlib
import math
from pathlib import Path

import numpy as np

from rnnbench.errors import RnnbenchError, positive
from rnnbench.tasks._ngrams import NGrams
from rnnbench.tasks.task import Batch, Predictor, Split, Task, one_hot

TRAIN_PERCENT, VALIDATION_PERCENT = 80, 10
MOST_WINDOWS = 1000


class Text(Task):
    """Predict the next character of any UTF-8 text file, one after the other: text:FILE.

    ``argument``: the file. ``length`` is T, the characters in a window. ``characters``: the most different ones that
    are told apart (255), the most frequent of the training part; all others are one more symbol, "other".
    x [T, B, V], one-hot of the V - 1 characters and "other". Target at every step: the next character. The first 80% of
    the file are for training, at random places; 10% for validation and the last 10% for test, in at most 1000 evenly
    spaced windows without overlap. Loss: bits per character, the cross-entropy to base 2. Score: the fraction of
    characters right. No text is fully predictable, so none counts as solved and training uses its whole budget.

    Chance: the unigram model, characters by their frequency in the training part, on the test windows. Beside it
    ``baselines`` has a trigram model that sees what a cell sees, the window alone.
    Raises RnnbenchError for a file that is missing, not UTF-8 or too short.
    """

    kind = "classification"
    readout = "every"
    one_hot_input = True
    default_length = 100
    longer_is_harder = False
    loss_name = "bits per character"
    chance_of = "loss"
    solved_at = 1.0

    def __init__(self, length: int | None = None, *, argument: str = "", characters: int = 255):
        self.argument = argument
        if not argument:
            raise RnnbenchError("task 'text' needs a text file, as in text:book.txt, got 'text'")
        super().__init__(length)
        numbers, self.alphabet, self._fingerprint = _read(*_version(argument), positive("characters", characters))
        self.input_size = self.output_size = len(self.alphabet) + 1
        train = len(numbers) * TRAIN_PERCENT // 100
        validation = len(numbers) * (TRAIN_PERCENT + VALIDATION_PERCENT) // 100
        self._parts = {"train": numbers[:train], "validation": numbers[train:validation], "test": numbers[validation:]}
        shortest = min(map(len, self._parts.values()))
        if shortest <= self.length:
            raise RnnbenchError(
                f"{argument} is too short for windows of {self.length} characters: it has {len(numbers)}, "
                f"of which {shortest} in a part where at least {self.length + 1} are needed"
            )
        self.chance_loss, self.chance_score = self._measure(self._unigram, self.evaluation())

    @property
    def name(self) -> str:
        """The name with its argument, as ``get_task`` takes it."""
        return f"text:{self.argument}" if self.argument else "text"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the text: trials on an edited file are other trials."""
        return self._fingerprint

    def loss(self, output: np.ndarray, batch: Batch) -> tuple[float, np.ndarray]:
        """Return the mean of -log2 of the next character's probability, in bits, and its gradient."""
        nats, gradient = super().loss(output, batch)
        return nats / math.log(2), gradient / np.asarray(math.log(2), gradient.dtype)

    def _evaluation_size(self, split: Split) -> int:
        return min(MOST_WINDOWS, len(self._parts[split]) // (self.length + 1))

    def _draw(self, rng: np.random.Generator, size: int, split: Split, first: int | None) -> Batch:
        part = self._parts[split]
        room = len(part) - self.length
        if first is None:
            starts = rng.integers(room, size=size)
        else:
            # Windows without overlap, since a part holds as many of T + 1 characters.
            starts = np.arange(first, first + size) * len(part) // self._evaluation_size(split)
        window = part[starts + np.arange(self.length + 1)[:, None]]
        return Batch(one_hot(window[:-1], self.input_size), window[1:])

    @functools.cached_property
    def _ngrams(self) -> NGrams:
        return NGrams(self._parts["train"], self.input_size)

    def _predictors(self) -> dict[str, Predictor]:
        return {"unigram": self._unigram, "trigram": self._trigram}

    def _unigram(self, batch: Batch) -> np.ndarray:
        return np.broadcast_to(np.log(self._ngrams.unigram), (*batch.target.shape, self.output_size))

    def _trigram(self, batch: Batch) -> np.ndarray:
        return np.log(self._ngrams.after_two(batch.x.argmax(axis=-1)))


def _version(path: str) -> tuple[str, int, int]:
    """Return the path, size and time of change of a file."""
    try:
        stat = Path(path).expanduser().stat()
    except FileNotFoundError:
        raise RnnbenchError(f"there is no file {path}") from None
    except OSError as error:
        raise RnnbenchError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the path; a home folder that is not known
        raise RnnbenchError(f"{path!r} is not a usable path: {error}") from error
    return path, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _read(path: str, size: int, changed: int, characters: int) -> tuple[np.ndarray, str, str]:
    """Return the text as character numbers, int64 [n], its alphabet, and a hash.

    ``size`` and ``changed`` make an edited file another one for the cache.
    """
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise RnnbenchError(f"cannot read {path}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RnnbenchError(
            f"{path} is not UTF-8 text (byte 0x{data[error.start]:02x} at offset {error.start}); save it as UTF-8"
        ) from error
    points = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
    known, counts = np.unique(points[: len(points) * TRAIN_PERCENT // 100], return_counts=True)
    kept = np.sort(known[np.argsort(-counts, kind="stable")[:characters]])
    place = np.searchsorted(kept, points)
    numbers = np.where(np.isin(points, kept), place, len(kept))
    return numbers, "".join(map(chr, kept)), hashlib.sha256(data).hexdigest()


TASK = Text
