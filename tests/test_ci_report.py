"""What ``rnnbench ci`` writes for others to read, from verdicts that are made here."""

import json
import math
from xml.etree import ElementTree

import pytest

from rnnbench.regression import report
from rnnbench.regression.decision import FAILED, IMPROVEMENT, NEW, REGRESSION, SKIPPED, UNCHANGED, Rules, Verdict
from rnnbench.regression.report import Comparison, action_benchmark, junit, markdown, value_text, write
from rnnbench.regression.series import Benchmark

NASTY = "'a|b `c` <script>&'"


def verdict(outcome, name="speed.Forward.time_forward", change=0.1, unit="seconds", **about) -> Verdict:
    benchmark = Benchmark(name, about.pop("params", ()), unit=unit, **about)
    if outcome in (FAILED, NEW, SKIPPED):
        return Verdict(benchmark, outcome, reason="head: ValueError: <b>no|thing</b>\nat all")
    return Verdict(benchmark, outcome, 10, 1.0, 1.0 + change, change, change - 0.01, change + 0.01, 0.001)


def comparison(*outcomes, problem=None) -> Comparison:
    return Comparison(
        "main (1234)", "HEAD (5678)", Rules(), [verdict(outcome) for outcome in outcomes], problem=problem
    )


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([UNCHANGED], 0),
        ([UNCHANGED, IMPROVEMENT, NEW, SKIPPED], 0),
        ([UNCHANGED, REGRESSION], 1),
        ([UNCHANGED, REGRESSION, FAILED], 2),
        ([FAILED], 2),
        ([], 3),
        ([SKIPPED, SKIPPED], 3),
        ([NEW], 4),
        ([NEW, SKIPPED], 4),
    ],
)
def test_the_exit_code_is_the_highest_that_applies(outcomes, code):
    assert comparison(*outcomes).exit_code == code
    assert comparison(*outcomes).sentence


def test_a_problem_is_the_answer(tmp_path):
    held = comparison(problem=(4, "no usable baseline: 'x' is no commit"))
    assert held.exit_code == 4
    assert "'x' is no commit" in markdown(held)
    assert ElementTree.fromstring(junit(held).encode()).get("errors") == "1"
    write(held, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["exit_code"] == 4


def test_the_comment_shows_what_changed_and_folds_the_rest():
    text = markdown(comparison(UNCHANGED, IMPROVEMENT, REGRESSION))
    above, fold = text.split("<details>")
    assert above.startswith(report.MARK)
    assert "1 regression, 1 improvement among 3 benchmarks measured" in above
    assert [line.split("|")[1].strip() for line in above.splitlines() if line.startswith("| ")] == [
        "",
        "---",
        "🔴 worse",
        "🟢 better",
    ]
    assert "unchanged" in fold
    assert "+10.0% (+9.0% to +11.0%)" in above
    assert "|" not in markdown(comparison(UNCHANGED)).split("<details>")[0]


def test_names_and_reasons_cannot_break_out_of_a_table():
    held = Comparison("a", "b", Rules(), [verdict(REGRESSION, params=(NASTY,)), verdict(FAILED)])
    rows = [line for line in markdown(held).splitlines() if line.startswith(("| 🔴", "| 💥"))]
    assert len(rows) == 4
    for row in rows:
        assert "<script" not in row
        assert "<b>" not in row
        assert row.replace("\\|", "").count("|") == 6
        assert row.count("`") == 2


def test_a_comment_is_never_longer_than_github_keeps():
    held = Comparison("a", "b", Rules(), [verdict(UNCHANGED, f"speed.time_{'x' * 200}_{n}") for n in range(1000)])
    text = markdown(held)
    assert len(text) < 65_536
    assert "more rows are in the JSON" in text
    assert text.rstrip().endswith("</sub>")
    assert text.count("<details>") == text.count("</details>") == 1


def test_junit_counts_and_is_well_formed():
    held = comparison(UNCHANGED, REGRESSION, FAILED, SKIPPED, NEW)
    held.verdicts.append(verdict(REGRESSION, params=(NASTY + "\x00\x1b",)))
    suite = ElementTree.fromstring(junit(held).encode())
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "2",
        "errors": "1",
        "skipped": "2",
    }
    assert len(suite.findall("testcase")) == 6
    assert {case.get("classname") for case in suite.iter("testcase")} == {"speed.Forward"}
    assert [node.get("message") for node in suite.iter("failure")] == ["+10.0% (+9.0% to +11.0%)"] * 2


def test_numbers_for_github_action_benchmark_are_split_by_direction():
    held = Comparison("a", "b", Rules(), [verdict(UNCHANGED), verdict(UNCHANGED, "track_score", better="higher")])
    held.verdicts.append(verdict(FAILED))
    assert [entry["name"] for entry in action_benchmark(held, "lower")] == ["speed.Forward.time_forward"]
    [entry] = action_benchmark(held, "higher")
    assert entry["name"] == "track_score"
    assert set(entry) == {"name", "unit", "value", "extra"}
    assert entry["value"] == 1.1


def test_a_change_from_zero_is_told_without_a_percentage_and_json_has_no_infinity(tmp_path):
    found = Verdict(
        Benchmark("error.track_it", unit="1 - score"), REGRESSION, 3, 0.0, 0.5, math.inf, math.inf, math.inf, 0.0
    )
    held = Comparison("a", "b", Rules(), [found])
    assert "from zero" in markdown(held)
    write(held, tmp_path)
    [entry] = json.loads((tmp_path / "results.json").read_text())["benchmarks"]
    assert (entry["base"], entry["head"], entry["change"]) == (0.0, 0.5, None)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "seconds", "12.3 ms"),
        (2.5e-7, "seconds", "250 ns"),
        (90.0, "seconds", "90 s"),
        (42_529_472, "bytes", "40.6 MiB"),
        (1_047_000_000, "bytes", "998 MiB"),
        (0, "bytes", "0 B"),
        (0.08123, "1 - score", "0.08123"),
        (None, "seconds", ""),
    ],
)
def test_values_have_the_unit_that_fits(value, unit, text):
    assert value_text(value, Benchmark("x", unit=unit)) == text
