"""The report's first screen: one sentence, and the picture of error, time and parameters, from numbers made by hand."""

import json

import pytest
from report_records import MACHINE, memory_record, small_run, time_record, trial_record

from rnnbench.report import page, source
from rnnbench.report.figures import palette_of
from rnnbench.report.pareto import headline, pareto, trade_offs
from rnnbench.report.point_labels import LETTER, LINE, place_labels
from rnnbench.report.section import Evidence
from rnnbench.report.verdict import answers


def evidence(records):
    return Evidence(records, palette_of(records))


def rows_of(records):
    return {row["cell"]: row for row in trade_offs(evidence(records)).to_dict("records")}


def compared(**cells):
    """Return records of cells with (score, seconds, parameters)."""
    records = []
    for name, (score, seconds, params) in cells.items():
        records.append(time_record(name, [seconds] * 3))
        records.append(memory_record(name, 1000, 4 * params, None))
        records += [trial_record(name, "adding", length, 0, False, score) for length in (10, 20)]
    return records


def test_a_cell_is_on_the_front_unless_another_is_better_in_one_and_worse_in_none():
    records = compared(
        good=(0.9, 3e-3, 300),
        fast=(0.5, 1e-3, 300),
        small=(0.5, 3e-3, 100),
        worse=(0.5, 3e-3, 300),
        twin=(0.9, 3e-3, 300),
    )
    rows = rows_of(records)
    assert {name: row["front"] for name, row in rows.items()} == {
        "good": True, "fast": True, "small": True, "worse": False, "twin": True,
    }  # fmt: skip
    assert rows["fast"]["error"] == pytest.approx(0.5)
    assert (rows["fast"]["seconds"], rows["fast"]["params"]) == (1e-3, 300)


def test_the_picture_shows_error_over_time_with_parameters_as_size():
    figure = pareto(evidence(compared(a=(0.9, 3e-3, 300), b=(0.5, 1e-3, 100))))
    assert figure is not None
    points, names = figure.spec["layer"]
    channels = {channel: points["encoding"][channel]["field"] for channel in ("x", "y", "size", "color", "shape")}
    assert channels == {"x": "seconds", "y": "error", "size": "params", "color": "cell", "shape": "cell"}
    (data,) = figure.spec["datasets"].values()
    assert {row["cell"]: (row["seconds"], round(row["error"], 6)) for row in data} == {"a": (3.0, 0.1), "b": (1.0, 0.5)}
    assert names["encoding"]["text"]["field"] == "name"
    for told in ("a: error 0.100, 3.00 ms for a training step, 300 parameters", "b: error 0.500, 1.00 ms"):
        assert told in figure.described


def test_what_was_not_measured_leaves_the_picture_what_there_is():
    only_trials = [one for one in compared(a=(0.9, 3e-3, 300), b=(0.5, 1e-3, 100)) if one["kind"] != "time"]
    figure = pareto(evidence(only_trials))
    assert figure is not None
    assert figure.title == "Error and parameters of each cell"
    one = compared(a=(0.9, 3e-3, 300))
    assert pareto(evidence(one)) is None  # a single point compares nothing
    untimed = [
        *compared(a=(0.9, 3e-3, 300), b=(0.5, 1e-3, 100)),
        trial_record("mlp_window", "adding", 10, 0, False, 0.7),
    ]
    shown = pareto(evidence(untimed))
    assert shown is not None
    assert "not shown: mlp_window" in shown.caption


def test_the_sentence_names_what_remembers_longest_its_cost_and_what_is_faster():
    records = small_run()
    held = evidence(records)
    assert headline(held, answers(records)) == (
        "gru remembers longest here, adding up to T=40, at 4.22 ms a training step and 98,688 parameters; elman_tanh "
        "is 3.00 times as fast but remembers only adding up to T=10."
    )


def test_the_sentence_does_not_recommend_a_control():
    records = [*compared(a=(0.9, 3e-3, 300)), *[trial_record("mlp_window", "adding", t, 0, True) for t in (10, 20)]]
    assert "mlp_window" not in headline(evidence(records), answers(records))


def test_the_sentence_says_when_the_best_is_also_the_fastest_and_when_nothing_was_solved():
    records = [time_record("gru", [1e-3] * 3), time_record("lstm", [2e-3] * 3)]
    solved = [trial_record("gru", "adding", length, 0, True) for length in (10, 20)]
    failed = [trial_record("lstm", "adding", length, 0, False) for length in (10, 20)]
    assert headline(evidence(records + solved + failed), answers(records + solved + failed)) == (
        "gru remembers longest here, adding up to T=20, at 1.00 ms a training step and 1,234 parameters, and no cell "
        "is faster."
    )
    said = headline(evidence(records + failed), answers(records + failed))
    assert said.startswith("No cell solved a task within its budget in 2 runs")
    assert headline(evidence(records), answers(records)).startswith("gru takes 1.00 ms")


def test_a_headline_of_many_tasks_stays_one_sentence():
    records = [time_record("gru", [1e-3] * 3)]
    for place, task in enumerate(("adding", "copy", "parity", "reber", "dyck")):
        records += [trial_record("gru", task, length, 0, True) for length in (10, 20 + place)]
    said = headline(evidence(records), answers(records))
    assert "dyck up to T=24, reber up to T=23, parity up to T=22 and 2 more tasks" in said


def test_cells_in_the_headline_stand_out_and_are_nothing_but_text():
    name = 'a<b>"&'
    records = [*compared(**{"gru": (0.9, 3e-3, 300)}), time_record(name, [1e-3] * 3)]
    text = page.html(page.build(source.Source(records, MACHINE, "x", "2026-01-01", "0")))
    assert "<strong>a&lt;b&gt;&#34;&amp;</strong>" in text
    assert name not in text.replace(json.dumps(name), "")


def test_names_beside_points_cover_neither_points_nor_one_another():
    points = [(100.0, 100.0), (108.0, 100.0), (104.0, 104.0), (104.0, 97.0), (5.0, 5.0)]
    labels = place_labels(points, ["first", "second", "third", "", "corner"], 200, 200)
    assert [label.text for label in labels][0] == "first"
    assert labels[3].text == ""
    assert (labels[4].text, labels[4].align) == ("corner", "left")  # to the left there is no room
    boxes = []
    for (x, y), label in zip(points, labels, strict=True):
        if label.text:
            wide = LETTER * len(label.text)
            left = x + label.dx - {"left": 0, "center": wide / 2, "right": wide}[label.align]
            boxes.append((left, left + wide, y + label.dy))
    assert len(boxes) > 2
    for place, (left, right, middle) in enumerate(boxes):
        assert not any(left < x < right and abs(middle - y) < LINE / 2 for x, y in points)
        for other_left, other_right, other in boxes[place + 1 :]:
            assert right <= other_left or other_right <= left or abs(middle - other) >= LINE


def test_a_name_without_room_is_left_out():
    crowd = [(50.0, 50.0)] * 30
    labels = place_labels(crowd, ["cell"] * 30, 100, 100)
    assert 1 <= sum(bool(label.text) for label in labels) < 30
