"""The pairs of commits by which ``rnnbench ci`` is judged: plants that take root, and the published table."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "reports" / "reference" / "ci" / "pairs.jsonl"


@pytest.fixture
def validation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import ci_validation

    return ci_validation


def test_every_plant_finds_its_place_and_is_still_python(validation):
    for name, plant in validation.PLANTS.items():
        if plant.file:
            text = (ROOT / plant.file).read_text(encoding="utf-8")
            assert text.count(plant.old) == 1, name
            compile(text.replace(plant.old, plant.new), plant.file, "exec")


def test_the_slower_kernel_is_that_of_the_lstm_and_computes_two_tanh_more(validation, tmp_path, monkeypatch):
    from rnnbench.cells import get_cell
    from rnnbench.lang import emit

    plant = validation.PLANTS["slower"]
    source = tmp_path / "planted_emit.py"
    source.write_text((ROOT / plant.file).read_text(encoding="utf-8").replace(plant.old, plant.new), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    planted = importlib.import_module("planted_emit")
    lstm, gru = (get_cell(name).program for name in ("lstm", "gru"))
    assert planted.cpu_source(lstm).count("tanh(") == emit.cpu_source(lstm).count("tanh(") + 2
    assert planted.cpu_source(gru) == emit.cpu_source(gru)


def test_the_published_table_is_that_of_the_published_pairs_and_says_what_was_asked(validation):
    pairs = [json.loads(line) for line in PUBLISHED.read_text(encoding="utf-8").splitlines()]
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    for line in validation.table(pairs):
        assert line in page
    counted = {row["plant"]: 0 for row in pairs}
    accused = dict(counted)
    for row in pairs:
        counted[row["plant"]] += 1
        accused[row["plant"]] += any(held["outcome"] == "regression" for held in row["verdicts"])
    assert counted["unchanged"] >= 20
    assert accused["unchanged"] <= 1
    assert counted["slower"] >= 20
    assert accused["slower"] >= 18
    for name in ("larger", "less exact", "wrong gradient"):
        assert counted[name] == accused[name] > 0
