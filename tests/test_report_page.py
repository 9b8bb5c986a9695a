"""The files of a report: an offline page that escapes every name, a summary with figures, results that read back."""

import json
import re
from html.parser import HTMLParser

import altair as alt
import pytest
import vl_convert
from report_records import MACHINE, memory_record, small_run, time_record, trial_record
from test_report_source import write_asv

from rnnbench.errors import RnnbenchError
from rnnbench.report import figures, page, palette, report_from_folder, source, write_report
from rnnbench.trials.store import Store

HOSTILE = "</script><script>alert('&\"1')</script><img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """Collects what a browser would see: tags with attributes, text, and the bodies of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.tags and self.tags[-1][0] == "script" and self.cdata_elem else self.texts).append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the report on a small run, which has a second run's store beside it."""
    place = tmp_path_factory.mktemp("report")
    (place / "results.sqlite").write_bytes(b"untouched")
    assert write_report(place, small_run(), MACHINE, "rnnbench run --quick") == place / "report.html"
    return place


@pytest.fixture(scope="module")
def elements(folder):
    return Elements((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report():
    return page.build(a_source(small_run()))


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave out the slowest part of a report where a test is not about it."""
    monkeypatch.setattr(page, "png", lambda figure: b"")


def test_all_files_lie_in_the_folder(folder):
    assert {path.name for path in folder.iterdir()} == {
        "report.html",
        "summary.md",
        "results.json",
        "results.sqlite",
        "figures",
    }
    assert (folder / "results.sqlite").read_bytes() == b"untouched"
    body = json.loads((folder / "results.json").read_text())
    assert body["records"] == small_run()
    assert (body["schema"], body["command"], body["machine"]) == (1, "rnnbench run --quick", MACHINE)


def test_page_loads_nothing(elements):
    for tag, attributes in elements.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img"}
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    policy = next(attributes["content"] for tag, attributes in elements.tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_styles_load_nothing(folder):
    styles = re.findall(r"<style>(.*?)</style>", (folder / "report.html").read_text(), flags=re.DOTALL)
    assert styles
    assert not any(re.search(r"url\(|@import", style) for style in styles)


def test_first_screen_answers_before_anything_else(elements):
    text = " ".join("".join(elements.texts).split())
    sentence = (
        "gru remembers longest here, adding up to T=40, at 4.22 ms a training step and 98,688 parameters; elman_tanh "
        "is 3.00 times as fast but remembers only adding up to T=10."
    )
    assert text.index(sentence) < text.index("Error, time and parameters of each cell") < text.index("Verdict")
    for question, winner in (("Fastest", "elman_tanh"), ("Smallest", "elman_tanh"), ("Remembers longest", "gru")):
        assert f"{question} {winner}" in text
    assert text.index(sentence) < text.index("Fastest elman_tanh")
    assert text.index("Remembers longest") < text.index("Verdict") < text.index("Score on test sequences")


def test_page_is_accessible(elements):
    levels = [int(tag[1]) for tag, _ in elements.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    tags = [tag for tag, _ in elements.tags]
    assert tags.count("caption") == tags.count("table") > 5
    assert all(attributes["scope"] in ("col", "row") for tag, attributes in elements.tags if tag == "th")
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in elements.tags if tag == "a"} <= set(ids)
    assert ("html", {"lang": "en"}) in elements.tags


def test_every_figure_has_a_place_a_specification_and_a_picture(folder, elements):
    charts = [attributes for _, attributes in elements.tags if "data-figure" in attributes]
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)
    # Those with a cell in the foreground are shown once more on that cell's own page.
    assert {chart["data-highlight"] for chart in charts if "data-highlight" in chart} == {"gru", "elman_tanh"}
    places = [chart["data-figure"] for chart in charts if "data-highlight" not in chart]
    held = json.loads(next(text for text in elements.scripts if text.startswith('{"')))
    specs = {name: figure["spec"] for name, figure in held.items()}
    assert list(specs) == places
    assert len(set(places)) == len(places)
    summary = (folder / "summary.md").read_text()
    assert re.findall(r"\(figures/(.*?)\.png\)", summary) == places
    for name in places:
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert specs[name]["description"]
    kinds = {name.rsplit("_", 1)[0] for name in places}
    assert {
        "time_per_step_against_hidden_size",
        "time_per_step_against_sequence_length",
        "speed_up_over_torch",
    } <= kinds
    assert {"memory", "score_adding", "score_digits_row", "learning_adding", "learning_digits_row"} <= set(places)
    assert places[0] == "pareto"


def test_summary_has_the_tables_of_the_page(folder, elements):
    summary = (folder / "summary.md").read_text()
    headings = [
        text for tag, text in re.findall(r"<(h[23]) id=\"table-.*?>(.*?)</", (folder / "report.html").read_text())
    ]
    assert len(headings) > 5
    assert [title for title in re.findall(r"^### (.*)$", summary, flags=re.MULTILINE) if title in headings] == headings
    assert "- **Remembers longest: gru.**" in summary


def test_specifications_are_valid_vega_lite():
    records = [*small_run(), *[trial_record("gru", "forecast:a.csv:b", None, seed, True) for seed in (0, 1)]]
    drawn = page.build(a_source(records)).figures
    assert len({figure.name for figure in drawn}) == len(drawn) > 8
    for figure in drawn:
        figure.chart.to_dict(validate=True)  # altair checks it against Vega-Lite's schema
        json.dumps(figure.spec, allow_nan=False)


def test_clicking_a_legend_picks_a_cell_in_every_figure_that_promises_it(report):
    """Vega-Lite drops the binding without a word where the selection lies on a layer that has no legend."""
    drawn = report.figures
    promised = [figure for figure in drawn if '"bind": "legend"' in json.dumps(figure.spec)]
    assert len(promised) > 7
    for figure in promised:
        compiled = vl_convert.vegalite_to_vega(json.dumps(figure.spec))
        signals = {signal["name"]: signal for signal in compiled["signals"]}
        assert "pick_cell_legend" in signals["pick_tuple"]["update"], figure.name
        assert any("cell_legend" in json.dumps(legend) for legend in compiled["legends"]), figure.name


def a_source(records, **fields):
    return source.Source(records, MACHINE, "rnnbench run", "2026-01-01T00:00:00+00:00", "0", **fields)


@pytest.mark.usefixtures("without_pictures")
def test_hostile_names_stay_text(tmp_path):
    records = [
        time_record(HOSTILE, [1e-3, 2e-3, 3e-3]),
        time_record(HOSTILE, [1e-3, 2e-3, 3e-3], HOSTILE),
        time_record(HOSTILE, [1e-3, 2e-3, 3e-3], shape=(100, 32, 128, 64)),
        memory_record(HOSTILE, 100, 100, 100),
        *[trial_record(HOSTILE, HOSTILE, length, seed, True) for length in (1, 2) for seed in (0, 1)],
    ]
    machine = {"cpu": HOSTILE, "packages": {HOSTILE: HOSTILE}}
    facts = {"doc": HOSTILE, "cite": HOSTILE, "latex": [HOSTILE, r"\href{javascript:alert(2)}{x}"], "params": [HOSTILE]}
    facts |= {"recurrence": HOSTILE, "states": [HOSTILE], "structures": {HOSTILE: HOSTILE}, "hyper": {HOSTILE: 1.0}}
    body = {"schema": 1, "machine": machine, "command": HOSTILE, "created": HOSTILE, "rnnbench": HOSTILE}
    (tmp_path / "results.json").write_text(json.dumps({**body, "records": records, "cells": {HOSTILE: facts}}))
    path = report_from_folder(tmp_path)
    text = path.read_text(encoding="utf-8")
    found = Elements(text)
    assert "img" not in {tag for tag, _ in found.tags}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert sum(tag == "script" for tag, _ in found.tags) == 5
    assert not any("javascript:" in value for _, attributes in found.tags for value in attributes.values() if value)
    assert "alert(2)>" not in text
    assert "".join(found.texts).count("<img src=x onerror=alert(2)>") > 10  # it is shown, as text
    # Lines that Markdown shows as they are, the command among them, are set in by four spaces.
    summary = [line for line in (tmp_path / "summary.md").read_text().splitlines() if not line.startswith("    ")]
    assert not any("<" in line for line in summary)
    assert all(re.fullmatch(r"\w+\.png", picture.name) for picture in (tmp_path / "figures").iterdir())


def test_each_cell_has_one_colour_in_all_figures(report):
    drawn = report.figures
    scales = [json.dumps(scale, sort_keys=True) for figure in drawn for scale in colour_scales(figure.spec)]
    assert len(scales) > 10
    assert len(set(scales)) == 1


def colour_scales(spec):
    found = []
    if isinstance(spec, dict):
        if isinstance(spec.get("color"), dict) and spec["color"].get("field") == "cell":
            found.append(spec["color"]["scale"])
        spec = list(spec.values())
    return found + [scale for part in spec for scale in colour_scales(part)] if isinstance(spec, list) else found


def test_page_size_is_bounded_however_long_the_curves():
    long = trial_record("gru", "adding", 10, 0, True)
    long["curve"] = [[step, 1.0 / step] for step in range(1, 200_001)]
    (figure,) = figures.learning_curves([long], palette.Palette(["gru"]))
    assert len(json.dumps(figure.spec)) < 30_000


def test_sections_without_measurements_are_left_out():
    report = page.build(a_source([trial_record("gru", "adding", 10, 0, True)]))
    assert [section.anchor for section in report.sections] == ["remember", "learning", "raw"]
    text = page.html(page.build(a_source([])))
    assert "not measured" in text
    assert "vegaEmbed =" not in text  # no figures: no library


@pytest.mark.usefixtures("without_pictures")
def test_run_folder_is_reported_again_as_it_was(folder, tmp_path):
    (tmp_path / "results.json").write_bytes((folder / "results.json").read_bytes())
    first = report_from_folder(tmp_path)
    assert first == tmp_path / "report.html"
    again = report_from_folder(tmp_path, tmp_path / "elsewhere")
    assert again.read_bytes() == first.read_bytes() == (folder / "report.html").read_bytes()


def test_killed_run_is_reported_from_its_store(tmp_path):
    with Store(tmp_path / "results.sqlite") as store:
        store.add(time_record("gru", [1e-3, 2e-3, 3e-3]))
    before = (tmp_path / "results.sqlite").read_bytes()
    assert "gru takes 2.00 ms" in report_from_folder(tmp_path).read_text()
    assert (tmp_path / "results.sqlite").read_bytes() == before


@pytest.mark.usefixtures("without_pictures")
def test_asv_files_alone_make_the_same_page(tmp_path):
    place = write_asv(tmp_path / "asv", ["a" * 40, "b" * 40], scale=2.0)
    path = report_from_folder(place / "results")
    assert path == place / "report.html"
    text = path.read_text()
    assert "History over commits" in text
    assert "gru takes 4.00 ms" in text
    assert "secret-host" not in text
    # Reporting again finds asv's files again, not the results.json that the first report left.
    assert report_from_folder(place).read_text() == text


def test_foreign_results_are_not_overwritten(tmp_path):
    (tmp_path / "results.json").write_text('{"schema": 99}')
    with pytest.raises(RnnbenchError, match="another version"):
        write_report(tmp_path, small_run(), MACHINE, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_records_of_another_version_are_not_written(tmp_path):
    with pytest.raises(RnnbenchError, match="schema 2"):
        write_report(tmp_path, [time_record("gru", [1.0, 2.0, 3.0]) | {"schema": 2}], MACHINE, "x")
    assert not list(tmp_path.iterdir())


def test_figures_need_no_more_rows_than_altair_allows():
    runs = [trial_record("gru", "adding", length, seed, True) for length in (10, 20, 40) for seed in range(200)]
    (figure,) = figures.learning_curves(runs, palette.Palette(["gru"]))
    assert sum(len(rows) for rows in figure.spec["datasets"].values()) > 5000
    assert alt.data_transformers.active == "default"
