"""The asv suite: its grid is frozen and small, its samples hold many calls, and nothing wrong is timed."""

import json
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("asv_runner", reason="the asv suite needs the extra 'test'")


@pytest.fixture
def suite(monkeypatch):
    """Return every benchmark of the suite, discovered as asv does."""
    from asv_runner.discovery import disc_benchmarks

    monkeypatch.syspath_prepend(ROOT)
    return {benchmark.name: benchmark for benchmark in disc_benchmarks(str(ROOT / "benchmarks"))}


@pytest.fixture
def layers(suite):
    from benchmarks import layers

    layers.agreeing_layer.cache_clear()
    return layers


def test_the_suite_is_what_its_readme_lists_and_small(suite):
    listed = re.findall(r"`(\w+\.\w+\.(?:time|track|peakmem)_\w+)`", (ROOT / "benchmarks" / "README.md").read_text())
    assert set(suite) == set(listed)
    combinations = {name: math.prod(len(values) for values in held.params) for name, held in suite.items()}
    assert sum(combinations.values()) < 110  # each is at least one process, of five seconds on two cores
    units = {held.unit for held in suite.values()}
    assert units == {"seconds", "bytes", "1 - score", "relative error"}


def test_a_sample_is_many_calls_after_one_setup(suite):
    """asv_runner 0.3 would run setup before each call and time single calls; the suite opts out."""
    from asv_runner.benchmarks.time import TimeBenchmark

    class Counted:
        setups, calls = 0, 0
        sample_time, warmup_time, repeat = 0.005, 0.0, (3, 3, 1.0)

        def setup(self):
            self.setups += 1

        def time_it(self):
            self.calls += 1

    counted = Counted()
    benchmark = TimeBenchmark("counted", counted.time_it, [counted])
    benchmark.do_setup()
    result = benchmark.run()
    assert result["number"] > 100
    assert counted.setups < 20 < counted.calls


def test_the_runner_that_asv_installs_is_one_that_the_tests_run_with():
    from asv.config import Config
    from packaging.requirements import Requirement

    config = Config.load(str(ROOT / "asv.conf.json"))
    (pinned,) = config.matrix["req"]["pip+asv_runner"]
    wanted = [
        Requirement(text)
        for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    ]
    (runner,) = [requirement for requirement in wanted if requirement.name == "asv_runner"]
    assert runner.specifier.contains(pinned)
    assert (config.results_dir, config.html_dir) == ("reports/asv/results", "reports/asv/html")
    assert config.launch_method == "spawn"


def test_setup_is_repeated_at_no_cost_and_gives_a_layer_that_agrees(suite, layers):
    forward = suite["speed.Forward.time_forward"]
    owner = forward.func.__self__
    owner.setup("elman_tanh", "3x2x4x8")
    first = owner.layer
    owner.setup("elman_tanh", "3x2x4x8")
    assert owner.layer is first
    owner.time_forward("elman_tanh", "3x2x4x8")


@pytest.mark.parametrize("training", [False, True])
def test_a_kernel_that_disagrees_is_not_timed(layers, monkeypatch, training):
    right = layers.run

    def wrong(layer, x, dy, training):
        results = right(layer, x, dy, training)
        if layer.engine == "cpu":
            results["R.h" if training else "y"] += np.float32(1e-2)
        return results

    monkeypatch.setattr(layers, "run", wrong)
    with pytest.raises(AssertionError, match=r"elman_tanh 3x2x4x8: (y|R\.h) is .* off the reference"):
        layers.agreeing_layer("elman_tanh", "3x2x4x8", training)


def test_inference_is_compared_as_it_is_timed_frozen(layers, monkeypatch):
    freeze = layers.rb.Layer.freeze

    def freeze_wrongly(layer):
        layer.params["b.h"] += np.float32(1e-2)
        freeze(layer)

    monkeypatch.setattr(layers.rb.Layer, "freeze", freeze_wrongly)
    with pytest.raises(AssertionError, match="y is .* off the reference"):
        layers.agreeing_layer("elman_tanh", "3x2x4x8", training=False)


@pytest.mark.parametrize("name", ["memory.Workspace.track_workspace", "error.LongRange.track_error"])
def test_tracked_numbers_are_lower_is_better(suite, name, monkeypatch):
    held = suite[name]
    if name.startswith("error"):
        from benchmarks import error

        monkeypatch.setattr(error, "STEPS", 2)
        value = held.func("elman_tanh", "temporal_order_3", 20)
        assert 0.3 < value <= 1  # two steps teach nothing: it has four classes
    else:
        forward, training = (held.func("lstm", mode, "40x4x8x16") for mode in ("forward", "training"))
        assert 0 < forward < training


@pytest.mark.slow
def test_every_benchmark_runs(suite, monkeypatch):
    """Each once, at its first combination of parameters, as ``asv run --quick`` would."""
    for name, held in suite.items():
        held.set_param_idx(0)
        held.set_cache(held.do_setup_cache())
        assert held.do_setup() is False, name
        result = held.do_run()
        value = result if isinstance(result, (int, float)) else min(result["samples"])
        assert math.isfinite(value), name
        assert value >= 0, name
        json.dumps(result)
