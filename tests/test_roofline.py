"""Roofline: bounds that follow from a cell's equations and a shape, checked by hand on a machine of round numbers."""

import json
import math

import pytest
from report_records import record, time_record

from rnnbench.cells import get_cell, load_cell
from rnnbench.errors import RnnbenchError
from rnnbench.measure.roofline import Ceilings, chain_links, pointwise_cost, roofline
from rnnbench.report import figures
from rnnbench.report.figure import log_axis
from rnnbench.report.roofline import _LABEL_PIXELS, HEIGHT, _spread, rooflines

RATES = {"L1": 400e9, "L2": 100e9, "L3": 40e9, "memory": 10e9}
CAPACITY = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}
MACHINE = Ceilings(threads=2, dtype="float32", peak=200e9, latency=1e-9, bandwidth=RATES, capacity=CAPACITY)


def program(cell):
    return get_cell(cell).program


def limits_record(threads=2, **fields):
    def row(quantity, unit, median, level=None, count=threads):
        about = {"quantity": quantity, "level": level, "threads": count, "unit": unit}
        return {**about, "samples": [median], "median": median, "best": median}

    rows = [row("fma", "FLOP/s", 100e9, count=1), row("fma", "FLOP/s", 200e9)]
    rows += [row("fma_latency", "s", 1e-9, count=1), row("gemm", "FLOP/s", 180e9)]
    for level, rate in RATES.items():
        rows += [row("read", "B/s", rate / 2, level, 1), row("read", "B/s", rate, level)]
    caches = [{"level": level, "bytes": size, "cores": 1} for level, size in CAPACITY.items()]
    found = {"caches": caches, "caches_from": "sysfs", "limits": rows, "gemm_size": 2048}
    return record("limits", threads=threads, dtype="float32", **{**found, **fields})


def test_a_large_lstm_is_bound_by_its_products():
    T, B, I, H = 100, 32, 128, 128  # noqa: E741 - the legend's letters
    forward = roofline(program("lstm"), (T, B, I, H), "forward", MACHINE)
    assert forward.flops == 2 * T * B * 4 * H * (I + H)
    assert forward.bound == "compute-bound"
    # five functions of cost 20, three products and one sum of states, at a multiply a multiply-add's time
    assert pointwise_cost(program("lstm"), training=False) == 5 * 20 + 4
    assert forward.compute_seconds == pytest.approx((forward.flops + 2 * T * B * H * 104) / 200e9)
    assert forward.attainable_seconds == forward.compute_seconds
    assert forward.fraction(2 * forward.attainable_seconds) == 0.5
    training = roofline(program("lstm"), (T, B, I, H), "training", MACHINE)
    assert training.flops == 3 * forward.flops
    assert training.bound == "compute-bound"


def test_weights_are_read_every_step_by_each_thread_that_has_rows():
    H = 128
    recurrent = 4 * 4 * H * H  # 256 KiB: in the second level
    batch = roofline(program("lstm"), (1000, 32, 2, H), "forward", MACHINE).traffic
    assert batch["L2"] == 1000 * recurrent * 2
    one = roofline(program("lstm"), (1000, 1, 2, H), "forward", MACHINE)
    streams = 1000 * 4 * (2 + H) + 4 * program("lstm").param_count(2, H)
    assert one.traffic["L2"] == 1000 * recurrent + streams  # the units are split, and all fits into the same level
    assert one.bound == "cache-bound (L2)"
    assert one.attainable_seconds == pytest.approx(one.traffic["L2"] / 100e9)
    assert one.intensity == one.flops / one.traffic["L2"]
    huge = roofline(program("lstm"), (50, 1, 512, 2048), "forward", MACHINE)
    assert huge.bound == "memory-bound"
    assert huge.traffic["memory"] > 50 * 4 * 4 * 2048**2


@pytest.mark.parametrize("cell", ["min_gru", "indrnn"])
def test_elementwise_and_linear_cells_with_little_input_wait_for_memory(cell):
    held = roofline(program(cell), (4000, 32, 2, 128), "training", MACHINE)
    assert held.bound == "memory-bound"
    moved = 4000 * 32 * program(cell).bytes_per_step(2, 128, 4, training=True)
    assert held.traffic["memory"] == pytest.approx(moved, rel=1e-3)  # and the few parameters
    assert sum(held.traffic.values()) == held.traffic["memory"]


def test_a_tiny_step_waits_for_its_chain():
    held = roofline(program("lstm"), (1000, 2, 1, 2), "forward", MACHINE)
    assert held.bound == "latency-bound"
    assert held.latency_seconds == pytest.approx(1000 * chain_links(program("lstm"), training=False) * 1e-9)


def test_chains_run_from_a_state_to_the_next():
    # store, load and product (3), then tanh: 0.6 of its cost of 20
    assert chain_links(program("elman_tanh"), training=False) == 3 + 12
    # the product of a gate, sigmoid, times c, plus, tanh, times o
    assert chain_links(program("lstm"), training=False) == 3 + 12 + 1 + 1 + 12 + 1
    # (1 - z) h + z x: what reads the input alone is not on the chain
    assert chain_links(program("min_gru"), training=False) == 2
    for cell in ("elman_tanh", "lstm", "min_gru"):
        assert chain_links(program(cell), training=True) > chain_links(program(cell), training=False)


def test_a_linear_recurrence_is_a_scan():
    short, long = (roofline(program("min_gru"), (T, 32, 2, 4), "forward", MACHINE) for T in (127, 1023))
    assert (short.latency_seconds, long.latency_seconds) == pytest.approx((7 * 2e-9, 10 * 2e-9))


@pytest.mark.parametrize("mode", ["forward", "training"])
@pytest.mark.parametrize("cell", ["elman_tanh", "gru_reset_before", "lstm_peephole", "min_gru"])
def test_a_faster_machine_is_never_slower(cell, mode):
    before = roofline(program(cell), (50, 3, 20, 30), mode, MACHINE)
    for change in ({"peak": 400e9}, {"latency": 5e-10}, {"bandwidth": {k: 2 * v for k, v in RATES.items()}}):
        after = roofline(program(cell), (50, 3, 20, 30), mode, Ceilings(**{**vars(MACHINE), **change}))
        assert after.attainable_seconds <= before.attainable_seconds
        assert after.flops == before.flops


def test_ceilings_are_the_medians_of_a_record():
    assert Ceilings.of(limits_record()) == MACHINE
    alone = Ceilings.of(limits_record(), threads=1)
    assert (alone.peak, alone.bandwidth["L2"], alone.threads) == (100e9, 50e9, 1)
    with pytest.raises(RnnbenchError, match="measured with 1 and 2 threads, not with 8"):
        Ceilings.of(limits_record(), threads=8)
    shared = limits_record(
        caches=[{"level": "L1", "bytes": 32 << 10, "cores": 1}, {"level": "L3", "bytes": 1 << 24, "cores": 8}]
    )
    assert Ceilings.of(shared).capacity == {"L1": 32 << 10, "L3": 1 << 23}  # two of its eight cores are at work


def test_a_wrong_mode_is_one_sentence():
    with pytest.raises(RnnbenchError, match="mode must be forward or training, got 'backward'"):
        roofline(program("lstm"), (1, 1, 1, 1), "backward", MACHINE)


def timed(*cells, **fields):
    shapes = [(100, 32, 128, 128), (100, 1, 64, 64), (1000, 32, 2, 128)]
    return [
        time_record(cell, [0.01, 0.011, 0.012], mode=mode, shape=shape, **fields)
        for cell in cells
        for shape in shapes
        for mode in ("forward", "training")
    ]


def drawn(records):
    return rooflines(records, figures.palette_of(records))


def test_a_figure_for_each_mode_with_a_point_for_each_cell_and_shape():
    records = [limits_record(), *timed("lstm", "min_gru"), *timed("lstm", contender="torch")]
    found = drawn(records)
    assert [figure.name for figure in found] == ["roofline_training_2_threads", "roofline_forward_2_threads"]
    for figure in found:
        figure.chart.to_dict(validate=True)
        spec = json.loads(json.dumps(figure.spec, allow_nan=False))
        data = list(spec["datasets"].values())
        points = next(rows for rows in data if "intensity" in rows[0])
        assert len(points) == 6  # ours alone
        lstm = next(row for row in points if row["cell"] == "lstm" and "B=32 I=128" in row["shape"])
        mode = "training" if "training" in figure.name else "forward"
        held = roofline(program("lstm"), (100, 32, 128, 128), mode, MACHINE)
        assert lstm["rate"] == pytest.approx(held.flops / 0.011 / 1e9)
        assert lstm["bound"] == "compute-bound"
        names = [row["name"] for rows in data for row in rows if "name" in row]
        assert sorted(names) == sorted(
            ["FMA 200 GFLOP/s", "GEMM 180 GFLOP/s", "L1 400 GB/s", "L2 100 GB/s", "L3 40.0 GB/s", "memory 10.0 GB/s"]
        )


def test_no_figure_without_limits_of_the_same_threads():
    assert drawn(timed("lstm")) == []
    assert drawn([limits_record(), *timed("lstm", threads=4)]) == []
    assert drawn([limits_record()]) == []


def test_a_cell_that_is_not_here_is_named():
    records = [limits_record(), *timed("lstm", "somebodys_cell")]
    assert all("Not shown, their equations are not here: somebodys_cell." in one.caption for one in drawn(records))


def test_a_file_that_records_name_is_not_executed(tmp_path):
    """Results may come from somebody else: only a file that this process has loaded already has equations here."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from rnnbench.lang import cell, tanh\n"
        f"open({str(tmp_path / 'ran')!r}, 'a').close()\n"
        "@cell(states='h')\n"
        "def own(x, R, h):\n"
        "    return tanh(x.n + R.n(h))\n"
    )
    name = f"{file}:own"
    records = [limits_record(), *timed("lstm", name)]
    assert all(name in one.caption for one in drawn(records))
    assert not (tmp_path / "ran").exists()
    load_cell(name)
    assert (tmp_path / "ran").exists()
    assert not any(name in one.caption for one in drawn(records))


def test_names_of_roofs_keep_apart():
    axis = log_axis(figures.pd.Series([1.0, 300.0]), ticks=False)["scale"].domain
    names = {"memory": 10.0, "L3": 10.5, "L2": 11.0, "FMA": 200.0}
    placed = _spread(names, axis)
    pixels = [HEIGHT * math.log(place) / math.log(axis[1] / axis[0]) for place in placed.values()]
    assert list(placed) == ["memory", "L3", "L2", "FMA"]
    assert all(above - below >= _LABEL_PIXELS - 1e-9 for below, above in zip(pixels, pixels[1:], strict=False))
    assert placed["memory"] == pytest.approx(10.0)
    assert placed["FMA"] == pytest.approx(200.0)
