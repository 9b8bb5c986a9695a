"""What the report says of a sweep's learning rates and matched sizes."""

import json
from typing import Any

from rnnbench.report.figures import palette_of
from rnnbench.report.search import match_table, search_figures, search_section, search_table
from rnnbench.report.section import Evidence
from rnnbench.report.source import check

SEARCH: dict[str, Any] = {
    "schema": 1,
    "kind": "search",
    "key": "0",
    "created": "2026-01-01T00:00:00+00:00",
    "cell": "gru",
    "task": "adding",
    "length": 50,
    "hidden": 16,
    "steps": 200,
    "settings": {"trials": 4, "low": 0.0001, "high": 0.1, "seeds": [1000]},
    "tried": [[0.0001, 0.16], [0.001, -0.75], [0.01, -0.5], [0.1, None]],
    "learning_rate": 0.001,
}
MATCH: dict[str, Any] = {
    "schema": 1,
    "kind": "match",
    "key": "1",
    "created": "2026-01-01T00:00:00+00:00",
    "cell": "gru",
    "task": "adding",
    "length": 50,
    "by": "parameters",
    "reference": "lstm",
    "target": 1000.0,
    "reached": 987.0,
    "hidden": 17,
    "miss": -0.013,
    "samples": {},
}


def texts(table) -> list[dict[str, str]]:
    assert table is not None
    return [dict(zip(table.columns, (entry.text for entry in row), strict=True)) for row in table.rows]


def test_the_records_are_ones_that_a_report_reads():
    check(SEARCH, "the test")
    check(MATCH, "the test")


def test_a_search_is_told_with_every_rate_and_what_it_gave():
    (row,) = texts(search_table([SEARCH]))
    assert row["learning rate"] == "0.001"
    assert row["with it"] == "solved in 50 steps"
    assert (row["trials"], row["steps each"], row["H"]) == ("4", "200", "16")
    curve = row["every rate tried, with its loss or how soon it solved"]
    assert curve == "0.0001: loss 0.160; 0.001: solved in 50 steps; 0.01: solved in 100 steps; 0.1: diverged"


def test_a_rate_at_the_end_of_its_range_is_marked():
    (row,) = texts(search_table([SEARCH | {"learning_rate": 0.0001}]))
    assert row["learning rate"] == "0.0001 (end of the range)"


def test_over_several_seeds_a_value_is_a_mean_and_told_as_such():
    settings = SEARCH["settings"] | {"seeds": [7, 8]}
    (row,) = texts(search_table([SEARCH | {"settings": settings}]))
    assert row["trials"] == "8"
    assert row["with it"] == "-0.750 on average"


def test_of_two_records_that_were_asked_the_same_the_newest_counts():
    later = SEARCH | {"created": "2026-01-02T00:00:00+00:00", "learning_rate": 0.01}
    assert [row["learning rate"] for row in texts(search_table([later, SEARCH]))] == ["0.01"]
    other = later | {"steps": 400}
    assert len(texts(search_table([SEARCH, other]))) == 2


def test_a_match_is_told_with_its_miss():
    (row,) = texts(match_table([MATCH]))
    assert (row["H"], row["target"], row["reached"], row["miss"]) == ("17", "1,000", "987", "-1.3%")


def test_the_section_has_a_figure_for_each_task_and_is_left_out_where_there_was_no_sweep():
    records = [SEARCH, SEARCH | {"cell": "lstm"}, SEARCH | {"task": "copy"}, MATCH]
    palette = palette_of(records)
    section = search_section(Evidence(records, palette))
    assert [figure.about for figure in section.figures] == [{"task": "adding"}, {"task": "copy"}]
    assert [table.name for table in section.tables] == ["search", "match"]
    assert search_section(Evidence([], palette)).empty
    (figure,) = search_figures([SEARCH], palette)
    drawn = next(iter(figure.spec["datasets"].values()))
    assert [(one["rate"], one["value"], one["told"]) for one in drawn] == [
        (0.0001, 0.16, "loss 0.160"),
        (0.001, -0.75, "solved in 50 steps"),
        (0.01, -0.5, "solved in 100 steps"),
        (0.1, 0.16, "diverged"),
    ]
    assert json.dumps(figure.spec)
