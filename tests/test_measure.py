"""Memory, compile time, ratios and machine facts."""

import getpass
import json
import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rnnbench.errors import RnnbenchError
from rnnbench.measure import available_cores, compile_times, machine_facts, memory_use, paired_ratio
from rnnbench.measure.machine import _commit

MIB = 2**20

GREEDY = """
import numpy as np

def unavailable_reason():
    return None

def supports(cell, training):
    return None

class Prepared:
    def timed(self, x, dy):
        def call():
            held = np.ones(len(x) * 2**20, "u1")  # one MiB for each time step
            passing = np.ones(len(x) * 2**20, "u1")
            del passing
            return held
        return call

def prepare(work):
    return Prepared()
"""


def test_peak_growth_is_what_one_call_touches(tmp_path, monkeypatch):
    (tmp_path / "greedy_peers").mkdir()
    (tmp_path / "greedy_peers" / "__init__.py").touch()
    (tmp_path / "greedy_peers" / "greedy.py").write_text(GREEDY)
    monkeypatch.syspath_prepend(tmp_path)
    record = memory_use("lstm", (64, 1, 2, 3), contender="greedy_peers.greedy", threads=1)
    assert record["peak_growth_bytes"] == pytest.approx(128 * MIB, abs=2 * MIB)
    assert record["workspace_bytes"] is None
    assert record["parameter_bytes"] == 4 * 4 * (2 * 3 + 3 * 3 + 3)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_training_step_grows_by_no_less_than_its_results_and_no_more_than_the_engine_says():
    T, B, I, H = sizes = (200, 32, 64, 64)  # noqa: E741 - the legend's letters
    record = memory_use("lstm", sizes, contender="rnnbench.cpu", threads=1)
    results = 4 * T * B * (H + I)  # y and the gradient of x
    assert record["training"]
    assert record["workspace_bytes"] > 0
    assert results < record["peak_growth_bytes"] < 1.1 * (results + record["workspace_bytes"]) + 4 * MIB


def test_cold_compile_cached_load_and_steady_state_are_told_apart():
    record = compile_times("elman_tanh", threads=1)
    assert record["kind"] == "compile"
    assert record["cold_seconds"] > record["cached_seconds"] > record["steady_seconds"] > 0
    assert len(record["steady_samples"]) == 20
    assert record["check"]["max_error"] <= record["check"]["tolerance"]
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_what_cannot_be_measured_is_one_sentence():
    with pytest.raises(RnnbenchError, match="ONNX has no operator that computes mgu|not installed"):
        memory_use("mgu", (2, 2, 2, 2), training=False, contender="onnxruntime")
    with pytest.raises(RnnbenchError, match="does not train|not installed"):
        compile_times("lstm", "onnxruntime")


def test_a_drift_that_both_contenders_share_cancels_in_the_ratio():
    rng = np.random.default_rng(0)
    drift = np.exp(np.cumsum(rng.normal(0, 0.2, 60)))  # the machine slows down and recovers by large factors
    slow, fast = drift * rng.normal(3, 0.05, 60), drift * rng.normal(1, 0.02, 60)
    ratio, low, high = paired_ratio(slow, fast)
    assert low < 3 < high
    assert high - low < 0.1
    assert low <= ratio <= high
    inverse = paired_ratio(fast, slow)
    assert inverse.ratio == pytest.approx(1 / ratio, rel=1e-3)


def test_one_disturbed_round_in_five_does_not_move_the_ratio():
    samples = np.full(50, 2.0)
    samples[::5] *= 100
    assert paired_ratio(samples, np.ones(50)) == (2.0, 2.0, 2.0)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        interval = paired_ratio(rng.lognormal(np.log(2), 0.3, 40), rng.lognormal(0, 0.3, 40), resamples=500)
        covered += interval.low <= 2 <= interval.high
    # 95% of 300 is 285, with a standard deviation of 3.8; a median's percentile interval is not exact.
    assert 270 <= covered <= 298


@pytest.mark.parametrize(
    ("numerator", "denominator", "confidence"),
    [([1.0], [1.0], 0.95), ([1.0, 2.0], [1.0], 0.95), ([1.0, 0.0], [1.0, 1.0], 0.95), ([1.0, 2.0], [1.0, 1.0], 1.0)]
    + [([1.0, float("nan")], [1.0, 1.0], 0.95)],
)
def test_a_ratio_of_nothing_sensible_is_refused(numerator, denominator, confidence):
    with pytest.raises(RnnbenchError):
        paired_ratio(numerator, denominator, confidence)


def test_machine_facts_name_the_machine_but_neither_host_user_nor_folders(monkeypatch):
    monkeypatch.setattr("platform.release", lambda: "6.1.0-12-alices-laptop")
    machine_facts.cache_clear()
    facts = machine_facts()
    machine_facts.cache_clear()
    assert facts["cpu"]
    assert facts["memory_bytes"] > 2**28
    assert 1 <= available_cores() == facts["cores"] <= facts["logical_cores"]
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["vector_width"] in (128, 256, 512)
    assert " 6.1.0 " in facts["os"]
    text = json.dumps(facts, allow_nan=False)
    for private in ("alices", platform.node(), getpass.getuser(), str(Path.home()), str(Path(__file__).parents[1])):
        assert not re.search(rf"(?<!\w){re.escape(private)}(?!\w)", text), private


@pytest.mark.skipif(shutil.which("git") is None, reason="makes a git repository")
def test_the_commit_is_that_of_a_checkout_and_of_no_repository_around_it(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert _commit(tmp_path) == {"commit": None, "modified": None}
    git("init", "--quiet")
    assert _commit(tmp_path) == {"commit": None, "modified": None}
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    assert _commit(tmp_path) == {"commit": git("rev-parse", "HEAD"), "modified": False}
    assert _commit(tmp_path / "inner") == {"commit": None, "modified": None}
    (tmp_path / "inner" / "a.py").write_text("2")
    assert _commit(tmp_path)["modified"] is True
