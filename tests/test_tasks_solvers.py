"""Each task, solved by hand from x alone, scores 1; blind guessing scores what the task says is chance."""

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rnnbench.tasks import SPLITS, get_task

LENGTHS = {"adding": [2, 3, 100], "copy": [1, 2, 100], "temporal_order_3": [10, 11, 100], "parity": [2, 3, 40]}
CASES = [(name, length) for name, lengths in LENGTHS.items() for length in lengths]
CASES += [("digits_pixel", 64), ("digits_row", 8)]


def _logits(labels, count, sure=60.0):
    return np.where(np.arange(count) == labels[..., None], sure, 0.0).astype(np.float32)


def _adding(x):
    return (x[..., 0] * x[..., 1]).sum(axis=0)[:, None]


def _copy(x):
    answer = np.full(x.shape[:2], 8)
    asked = x[..., 9].argmax(axis=0)
    assert (asked == len(x) - 11).all()
    answer[asked[0] + 1 :] = x[:10].argmax(axis=-1)
    return _logits(answer, 9)


def _temporal_order_3(x):
    relevant = x[..., 6:].sum(axis=-1) == 1
    assert (relevant.sum(axis=0) == 2).all()
    is_y = np.stack([column[mask] for column, mask in zip(x[..., 7].T, relevant.T, strict=True)])
    return _logits((is_y @ [2, 1]).astype(int), 4)


def _parity(x):
    return _logits(np.logical_xor.reduce(x[..., 1] == 1, axis=0).astype(int), 2)


def _digits(x):
    """Look the image up: all 1797 differ."""
    images, labels = load_digits(return_X_y=True)
    known = {np.asarray(image, np.float32).tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len(known) == 1797
    shown = np.ascontiguousarray((x * 16).transpose(1, 0, 2).reshape(x.shape[1], 64))
    return _logits(np.array([known[image.tobytes()] for image in shown]), 10)


SOLVERS = {
    "adding": _adding,
    "copy": _copy,
    "temporal_order_3": _temporal_order_3,
    "parity": _parity,
    "digits_pixel": _digits,
    "digits_row": _digits,
}


def _mean(values, batches):
    return sum(value * batch.size for value, batch in zip(values, batches, strict=True)) / sum(b.size for b in batches)


@pytest.mark.parametrize(("name", "length"), CASES)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_perfect_solver_scores_one(name, length, split):
    task = get_task(name, length)
    rng = np.random.default_rng(11)
    for batch in [*task.evaluation(split=split), *(task.sample(rng, 40, split) for _ in range(5))]:
        output = SOLVERS[name](batch.x)
        assert task.score(output, batch) == 1
        # Sums of two float32 are exact here; logits of 60 leave e^-60 to the other classes.
        assert task.loss(output, batch)[0] < 1e-20


@pytest.mark.parametrize("name", ["copy", "temporal_order_3", "parity", "digits_pixel", "digits_row"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_constant_guess_scores_exactly_chance(name, split):
    task = get_task(name)
    batches = task.evaluation(split=split)
    for guess in range(8 if name == "copy" else task.output_size):
        outputs = [_logits(np.full(batch.target.shape, guess), task.output_size) for batch in batches]
        scores = [task.score(output, batch) for output, batch in zip(outputs, batches, strict=True)]
        assert _mean(scores, batches) == pytest.approx(task.chance_score, rel=1e-15)


@pytest.mark.parametrize("name", ["temporal_order_3", "parity", "digits_pixel", "digits_row"])
def test_equal_logits_lose_exactly_chance(name):
    task = get_task(name)
    for batch in task.evaluation():
        loss, _ = task.loss(np.zeros((batch.size, task.output_size)), batch)
        assert loss == pytest.approx(task.chance_loss, rel=1e-14)
    assert task.chance == task.chance_score == 1 / task.output_size
    assert task.chance_loss == math.log(task.output_size)


@pytest.mark.parametrize("length", [1, 30, 200])
def test_blind_recall_in_copy_loses_ten_ln_eight_over_all_steps(length):
    task = get_task("copy", length)
    for batch in task.evaluation():
        output = np.full((length + 20, batch.size, 9), -1000.0)
        output[:-10, :, 8] = 0
        output[-10:, :, :8] = 0
        assert task.loss(output, batch)[0] == pytest.approx(10 * math.log(8) / (length + 20), rel=1e-13)
    assert task.chance == task.chance_loss == 10 * math.log(8) / (length + 20)


def test_copy_scores_the_recalled_symbols_alone():
    task = get_task("copy", 5)
    batch = task.evaluation()[0]
    output = SOLVERS["copy"](batch.x)
    output[:-10] = 0
    assert task.score(output, batch) == 1
    output[-1] = _logits((batch.target[-1] + 1) % 8, 9)
    assert task.score(output, batch) == pytest.approx(0.9)


@pytest.mark.parametrize("length", [2, 7])
def test_the_mean_in_adding_scores_chance(length):
    task = get_task("adding", length)
    size = 200_000
    batch = task.sample(np.random.default_rng(12), size)
    blind = np.ones((size, 1), np.float32)
    # t = u1 + u2 - 1 is triangular: E t^2 = 1/6, E t^4 = 1/15, so t^2 has the variance 1/15 - 1/36.
    assert abs(task.loss(blind, batch)[0] - 1 / 6) < 5 * math.sqrt((1 / 15 - 1 / 36) / size)
    within = 2 * task.tolerance - task.tolerance**2
    assert task.chance_score == pytest.approx(within, rel=1e-15)
    assert abs(task.score(blind, batch) - within) < 5 * math.sqrt(within * (1 - within) / size)
    assert task.chance == task.chance_loss == 1 / 6
    assert batch.target.mean() == pytest.approx(1, abs=5 * math.sqrt(1 / 6 / size))


def test_adding_is_right_just_within_its_tolerance():
    task = get_task("adding", 10)
    batch = task.sample(np.random.default_rng(0), 100)
    exact = batch.target.astype(np.float64)
    assert task.score(exact + 0.0799, batch) == 1
    assert task.score(exact - 0.0801, batch) == 0


@pytest.mark.parametrize("length", [2, 3, 10, 101])
def test_adding_marks_one_value_in_each_half(length):
    x = get_task("adding", length).sample(np.random.default_rng(1), 5000).x
    marks = x[..., 1]
    assert set(np.unique(marks)) <= {0, 1}
    assert (marks[: length // 2].sum(axis=0) == 1).all()
    assert (marks[length // 2 :].sum(axis=0) == 1).all()
    assert (marks.sum(axis=1) > 0).all()
    assert x[..., 0].min() >= 0
    assert x[..., 0].max() < 1


@pytest.mark.parametrize("length", [1, 2, 50])
def test_copy_shows_the_answer_only_when_asked(length):
    batch = get_task("copy", length).sample(np.random.default_rng(2), 64)
    assert (batch.x.sum(axis=-1) == 1).all()
    shown = batch.x.argmax(axis=-1)
    assert len(shown) == length + 20
    assert (shown[:10] < 8).all()
    assert (shown[10 : length + 9] == 8).all()
    assert (shown[length + 9] == 9).all()
    assert (shown[length + 10 :] == 8).all()
    assert (batch.target[: length + 10] == 8).all()
    assert np.array_equal(batch.target[length + 10 :], shown[:10])
    assert batch.mask is None


@pytest.mark.parametrize(("length", "first", "second"), [(10, (1, 2), (5, 6)), (100, (10, 20), (50, 60))])
def test_temporal_order_places_its_symbols_as_in_1997(length, first, second):
    batch = get_task("temporal_order_3", length).sample(np.random.default_rng(3), 5000)
    assert (batch.x.sum(axis=-1) == 1).all()
    shown = batch.x.argmax(axis=-1)
    assert (shown[0] == 0).all()
    assert (shown[-1] == 1).all()
    steps = np.flatnonzero((shown >= 6).any(axis=1))
    assert steps.tolist() == [*range(first[0], first[1] + 1), *range(second[0], second[1] + 1)]
    assert ((shown[first[0] : first[1] + 1] >= 6).sum(axis=0) == 1).all()
    assert ((shown[second[0] : second[1] + 1] >= 6).sum(axis=0) == 1).all()
    inner = shown[1:-1]
    assert set(np.unique(inner[inner < 6])) == {2, 3, 4, 5}


def test_parity_trains_on_short_strings_and_scores_long_ones():
    task = get_task("parity")
    rng = np.random.default_rng(4)
    for split, lengths in zip(SPLITS, (range(1, 41), range(41, 101), range(41, 101)), strict=True):
        drawn = {len(task.sample(rng, 1, split).x) for _ in range(1500)}
        assert drawn == set(lengths)
        assert [len(batch.x) for batch in task.evaluation(split=split)] == list(lengths)
    longer = [len(batch.x) for batch in get_task("parity", 100).evaluation()]
    assert (len(longer), longer[0], longer[-1]) == (60, 101, 250)
    assert set(np.diff(longer)) <= {2, 3}


def test_parity_cannot_be_told_before_the_last_bit():
    task = get_task("parity", 8)
    size = 20_000
    batch = task.sample(np.random.default_rng(5), size, "test")
    assert (batch.x.sum(axis=-1) == 1).all()
    early = batch.x[:-1, :, 1].sum(axis=0) % 2
    assert abs(np.mean(early == batch.target) - 0.5) < 5 * math.sqrt(0.25 / size)
    # Uniform strings: the bits of any two steps agree half of the time.
    agree = np.mean(batch.x[0, :, 1] == batch.x[-1, :, 1])
    assert abs(agree - 0.5) < 5 * math.sqrt(0.25 / size)


def test_the_two_digit_tasks_show_the_same_images():
    rows, pixels = get_task("digits_row").evaluation()[0], get_task("digits_pixel").evaluation()[0]
    assert np.array_equal(rows.x.transpose(1, 0, 2).reshape(-1, 64), pixels.x[..., 0].T)
    assert np.array_equal(rows.target, pixels.target)
    assert rows.x.min() == 0
    assert rows.x.max() == 1


def test_the_digit_split_is_the_documented_one():
    _, labels = load_digits(return_X_y=True)
    counts = {}
    for split in SPLITS:
        drawn = np.concatenate([batch.target for batch in get_task("digits_row").evaluation(split=split)])
        counts[split] = np.bincount(drawn, minlength=10)
    assert (counts["test"] == 36).all()
    assert (counts["validation"] == 27).all()
    assert np.array_equal(sum(counts.values()), np.bincount(labels))
