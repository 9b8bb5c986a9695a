"""benchmarks/gpu.py: what it says without a GPU, and how a row is judged and shown."""

import pytest

import rnnbench
from benchmarks import gpu
from rnnbench import get_cell

LIMITS = {
    "barrier_seconds": 1e-6,
    "copy_bytes_per_second": 4e12,
    "float32_flops_per_second": 5e13,
    "bfloat16_flops_per_second": 5e14,
}


@pytest.mark.skipif(rnnbench.engines()["cuda"] is None, reason="there is a GPU, or the simulator stands for one")
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert gpu.main(["--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("No GPU is measured here: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not out.exists()


@pytest.mark.skipif(rnnbench.engines()["cuda"] is None, reason="there is a GPU, or the simulator stands for one")
@pytest.mark.parametrize("engine", ["cuda", "cuda_steps"])
def test_the_asv_benchmark_is_skipped_with_the_reason(engine):
    pytest.importorskip("asv_runner", reason="the asv suite needs the extra 'test'")
    from benchmarks.speed import Gpu

    reason = str(rnnbench.engines()[engine])
    with pytest.raises(NotImplementedError, match=f"engine {engine} cannot run here: {reason[:20]}"):
        Gpu().setup(engine)


@pytest.mark.parametrize(
    ("goal", "median", "peer", "per_gate", "value", "met"),
    [
        (("ms", 2.0), 1e-3, None, None, 1.0, "yes"),
        (("ms", 2.0), 3e-3, None, None, 3.0, "no"),
        (("cudnn", 1.5), 1e-3, 2e-3, None, 2.0, "yes"),
        (("cudnn", 1.5), 1e-3, 1e-3, None, 1.0, "no"),
        (("cudnn", 1.5), 1e-3, None, None, None, "not measured"),
        (("us_per_step", 2.0), 1e-3, None, None, 10.0, "no"),
        (("per_gate", 1.3), 3e-3, None, 1e-3, 0.75, "yes"),
        (("per_gate", 1.3), 3e-3, None, None, None, "not measured"),
    ],
)
def test_a_row_is_judged_by_its_goal(goal, median, peer, per_gate, value, met):
    row = gpu.Row("lstm", (100, 4, 8, 16), "forward", goal)
    found = gpu.reached(row, median, peer, LIMITS, per_gate)
    assert found == (None if value is None else pytest.approx(value))
    assert gpu.is_met(row, found) == met


def test_the_bandwidth_of_a_row_counts_what_its_time_loop_must_move():
    row = gpu.Row("min_gru", (100, 4, 1, 16), "forward", ("bandwidth", 0.8))
    moved = 100 * 4 * 16 * 4 * 3  # two pre-activations in, one output out
    found = gpu.reached(row, 2 * moved / 4e12, None, LIMITS, None)
    assert found == pytest.approx(0.5)
    assert gpu.is_met(row, found) == "no"


def test_the_bound_of_a_row_is_its_longer_need_and_its_barriers():
    few, many = (gpu.Row(cell, (100, 1, 8, 16), "forward", ("ms", 1.0)) for cell in ("lstm", "lem"))
    flops = get_cell("lstm").program.flops_per_step(8, 16)
    moved = get_cell("lstm").program.bytes_per_step(8, 16)
    assert gpu.bound(few, LIMITS) == pytest.approx(100 * (max(flops / 5e13, moved / 4e12) + 1e-6))
    assert gpu.bound(many, LIMITS) > 100 * 2e-6  # a barrier for each of its two stages


def test_the_table_has_a_line_for_every_row():
    done = gpu.shown(gpu.ROWS[0]) | {
        "medians": {"rnnbench": 2e-3, "cudnn float16": 3e-3}, "value": 2.0, "met": "yes", "of_bound": 0.4
    }  # fmt: skip
    late = gpu.shown(gpu.ROWS[-1]) | {"failed": "not measured: the time was over"}
    head, first, second = gpu.table([done, late]).split("\n")
    assert head.split()[-3:] == ["goal", "found", "met"]
    assert first.split() == "lstm 1024,16,768,768 forward bfloat16 2.000 3.000 40% ms 2.44 2.00 yes".split()
    assert second.endswith("not measured: the time was over")
