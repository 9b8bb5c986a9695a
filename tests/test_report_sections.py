"""What sections, filters and the pages of cells are made of."""

import json

import pytest
from report_records import MACHINE, record, small_run, time_record, trial_record

from rnnbench.cells import cells
from rnnbench.errors import RnnbenchError
from rnnbench.report import page, report_from_folder, source, write_report
from rnnbench.report.attention import attention_section
from rnnbench.report.cell_facts import CellFacts, describe, facts_of, names_in
from rnnbench.report.figure import Rows
from rnnbench.report.figures import palette_of
from rnnbench.report.filters import base_name, filters_of, row_about
from rnnbench.report.measuring import measuring_table
from rnnbench.report.section import Evidence, Section
from rnnbench.report.sections import SECTIONS
from rnnbench.report.tables import Entry, Table


def report_on(records, **fields):
    return page.build(source.Source(records, MACHINE, "rnnbench run", "2026-01-01T00:00:00+00:00", "0", **fields))


def evidence(records):
    return Evidence(records, palette_of(records))


@pytest.fixture(scope="module")
def report():
    return report_on(small_run())


@pytest.mark.parametrize("make", SECTIONS, ids=lambda make: make.__name__)
def test_a_section_of_nothing_is_left_out(make):
    assert make(evidence([])).empty


def test_sections_figures_and_tables_have_names_of_their_own(report):
    for names in (
        [section.anchor for section in report.sections],
        [figure.name for figure in report.figures],
        [table.name for table in report.tables],
    ):
        assert len(set(names)) == len(names) > 4


def test_text_of_a_section_is_shown_and_escaped(monkeypatch):
    def said(evidence):
        table = Table("said", "Said", "A caption.", ["cell"], [False], [[Entry("gru", "gru")]])
        return Section("said", "Said <i>so</i>", ["First & <b>foremost</b>."], tables=[table])

    monkeypatch.setattr("rnnbench.report.sections.SECTIONS", (said,))
    text = page.html(report_on(small_run()))
    assert "<p>First &amp; &lt;b&gt;foremost&lt;/b&gt;.</p>" in text
    assert "Said &lt;i&gt;so&lt;/i&gt;" in text


def test_filters_offer_what_tables_and_figures_are_about():
    records = [*small_run(), trial_record("lstm", "adding", 10, 0, True, layers=1)]
    records.append(trial_record("lstm", "adding", 10, 0, True, layers=2))
    report = report_on(records)
    offered = dict(filters_of(report.figures, report.tables).offered())
    assert offered["cell"] == ["elman_tanh", "gru", "lstm"]  # not "lstm (layers=2)": a filter keeps all of a cell
    assert offered["task"] == ["adding", "digits_row"]
    assert {"rnnbench.cpu", "torch"} <= set(offered["engine"])
    one = report_on([time_record("gru", [1.0] * 3)])
    assert filters_of(one.figures, one.tables).offered() == []


def test_rows_and_columns_say_what_they_are_about(report):
    columns = ["cell", "contender", "T", "task"]
    entries = [[Entry(text, text) for text in ("lstm (layers=2)", "torch", "10", "—")]]
    table = Table("t", "T", "", columns, [False] * 4, entries)
    assert row_about(table, 0) == {"cell": "lstm", "engine": "torch"}
    assert base_name("lstm") == "lstm"
    filters = filters_of(report.figures, report.tables)
    assert filters.column_task("adding: solved up to T") == "adding"
    assert filters.column_task("parameters") == ""


def test_rows_of_a_chart_give_its_height(report):
    data = [{"cell": "a", "shape": 1}, {"cell": "b", "shape": 1}, {"cell": "a", "shape": 2}, {"level": 1}]
    assert Rows(10, ("cell", "shape")).height(data) == 40
    (figure,) = [one for one in report.figures if one.name == "memory"]
    assert figure.spec["height"] == 2 * 26


def test_headings_of_a_csv_say_what_a_number_is(report):
    figures = {figure.name: figure for figure in report.figures}
    assert figures["time_per_step_against_hidden_size_training"].headings()["median"] == "median (µs per time step)"
    assert figures["learning_adding"].headings()["loss"] == "loss (training loss)"
    for figure in figures.values():
        fields = {name for rows in figure.spec["datasets"].values() for row in rows for name in row}
        assert "cell" in fields & figure.headings().keys(), figure.name


@pytest.mark.parametrize("name", cells())
def test_the_equations_of_every_cell_are_mathml(name):
    facts = describe(name)
    assert facts.formulas
    for latex, formula in zip(facts.latex, facts.formulas, strict=True):
        assert formula is not None, latex
        assert formula.startswith("<math")
        assert "\\" not in formula, latex


def test_equations_from_elsewhere_are_shown_as_text_where_they_are_no_equations():
    hostile = [r"\href{javascript:alert(1)}{x}", "<script>", r"\style{x}{y}", r"a = \unknown{b}", 'x" onload="y']
    assert CellFacts(doc="", latex=hostile).formulas == [None] * len(hostile)
    assert CellFacts(doc="", latex=["h_t = x_t"]).formulas != [None]


def test_a_cell_page_has_sentence_source_equations_counts_and_figures(report):
    (gru,) = [one for one in report.cells if one.name == "gru"]
    assert gru.facts is not None
    assert (gru.facts.recurrence, gru.facts.states, gru.facts.count) == ("dense", ["h"], 98_816)
    assert dict(gru.standing)["adding: solved up to T"] == "T=40 (2/2)"
    assert {"score_adding", "learning_adding", "memory"} <= set(gru.figures)
    text = page.html(report)
    assert gru.facts.cite in text.replace("&#39;", "'")
    assert text.count("<math") >= len(gru.facts.latex)


def test_a_cell_of_the_users_own_is_described_although_its_file_has_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "png", lambda figure: b"")
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from rnnbench.lang import cell, tanh\n\n\n"
        '@cell(states="h")\ndef own(x, R, b, h):\n    """A cell of mine."""\n    return tanh(x.n + R.n(h) + b.n)\n'
    )
    name = f"{mine}:own"
    write_report(tmp_path, [time_record(name, [1.0] * 3)], MACHINE, "x")
    mine.unlink()
    for _ in range(2):
        text = report_from_folder(tmp_path).read_text()
        assert "A cell of mine." in text
        assert "<math" in text
    write_report(tmp_path, [time_record(name, [1.0] * 3)], MACHINE, "x")
    assert json.loads((tmp_path / "results.json").read_text())["cells"][name]["doc"] == "A cell of mine."


def test_pages_of_cells_run_no_file_that_records_name(tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('executed')\n")
    name = f"{trap}:cell"
    assert facts_of(names_in([time_record(name, [1.0] * 3)]), {}) == {}
    assert report_on([time_record(name, [1.0] * 3)]).cells[0].facts is None


def test_facts_that_are_none_are_refused_by_name():
    with pytest.raises(RnnbenchError, match="what the results say on cell 'gru' cannot be read: doc"):
        report_on(small_run(), cells={"gru": {"doc": 3}})


def with_attention(cell, weights, **fields):
    made = trial_record(cell, "adding", len(weights[0]), 0, True, **fields)
    return {**made, "attention": weights}


def test_attention_is_a_stripe_for_each_sequence_relative_to_its_largest_weight():
    looking = with_attention("gru", [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]])
    section = attention_section(evidence([looking, with_attention("lstm", [[1 / 3] * 3])]))
    (figure,) = section.figures
    (stripes,) = figure.spec["datasets"].values()
    assert {one["cell"] for one in stripes} == {"gru"}  # a mean weighs all alike: it looks nowhere
    shares = {(one["sequence"], one["step"]): one["share"] for one in stripes}
    assert shares == {(1, 0): 0.143, (1, 1): 1, (1, 2): 0.286, (2, 0): 1, (2, 1): 0.5, (2, 2): 0.5}
    assert "gru looks most at step 2 of the first sequence, with weight 0.700" in figure.described
    assert figure.about == {"task": "adding"}


def test_attention_over_long_sequences_stays_small_and_keeps_its_peaks():
    weights = [0.0] * 1000
    weights[777] = 1.0
    (figure,) = attention_section(evidence([with_attention("gru", [weights])])).figures
    (stripes,) = figure.spec["datasets"].values()
    assert len(stripes) <= 120
    (peak,) = [one for one in stripes if one["weight"] == 1.0]
    assert peak["step"] <= 777 < peak["to"]


def test_every_kind_of_record_says_how_it_was_measured():
    table = measuring_table(small_run())
    assert table is not None
    assert [row[0].text for row in table.rows] == [
        "score, solved, steps to solve", "time of a call", "memory", "compile time",
    ]  # fmt: skip
    assert measuring_table([record("unheard_of")]) is None


def test_a_cell_under_several_settings_has_all_its_rows_on_its_page():
    records = [trial_record("gru", "adding", 10, 0, True, layers=layers) for layers in (1, 2)]
    (gru,) = report_on(records).cells
    assert {"adding: solved up to T (layers=1)", "adding: solved up to T (layers=2)"} <= {
        one for one, _ in gru.standing
    }
    assert page.html(report_on(records)).count(f'<a href="#{gru.anchor}">gru (layers=') == 2
