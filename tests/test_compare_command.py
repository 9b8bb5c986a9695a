"""The commands compare, merge and export, and rb.compare: small runs of the slow engine, and bad input."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import rnnbench as rb
from rnnbench.cli import app
from rnnbench.cli import compare as command
from rnnbench.cli.presets import QUICK
from rnnbench.errors import RnnbenchError
from rnnbench.report import page
from rnnbench.trials import Store
from rnnbench.trials.merge import merge

SMALL = ("--task", "adding", "--length", "4", "--hidden", "3", "--steps", "4", "--engine", "reference")


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def compare(*arguments: object):
    return invoke("compare", *arguments, *SMALL, "--processes", "0")


def refused(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("rnnbench: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A folder with a comparison of two cells and a control on three seeds."""
    output = tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "png", lambda figure: b"")  # the report has tests of its own, and drawing takes its time
        result = compare("indrnn", "gru", "mlp_last", "--seeds", 3, "--match", "parameters", "--output", output)
    assert result.exit_code == 0, result.output
    return output, result


def stored(path: Path, kind: str = "trial") -> list[dict]:
    with Store(path, read_only=True) as store:
        return store.records(kind)


def test_compare_answers_in_words_table_and_figure(compared):
    output, result = compared
    assert result.stdout.startswith("adding at T=4: 3 seeds of each cell, up to 4 steps")
    assert "with as many parameters as indrnn: " in result.stdout
    assert "mlp_last (control)" in result.stdout
    assert "not real at 3 seeds" in result.stdout
    assert "┃ cell" in result.stdout
    assert f"Figure: {output}/comparison.svg" in result.stdout.replace("\n", "")
    assert {"comparison.md", "comparison.json", "comparison.svg", "report.html"} <= {
        one.name for one in output.iterdir()
    }
    assert (output / "comparison.svg").read_text(encoding="utf-8").startswith("<svg")
    sizes = {record["trial"]["cell"]: record["params"] for record in stored(output / "results.sqlite")}
    assert max(sizes.values()) / min(sizes.values()) < 1.25, "the sizes were matched"


def test_what_is_stored_is_not_trained_again_and_is_held_against_an_older_store(compared, folder, monkeypatch):
    output, _ = compared
    with Store(output / "results.sqlite", read_only=True) as store, Store(folder / "old.sqlite") as copy:
        for record in store.records("trial"):
            copy.add(record)
    before = stored(output / "results.sqlite")
    from rnnbench.trials.executors import here

    trained = []
    work = here.work
    monkeypatch.setattr(here, "work", lambda account, where: trained.extend(account.waiting) or work(account, where))
    asked = ("indrnn", "gru", "--seeds", 4, "--match", "parameters", "--output", output)
    result = compare(*asked, "--against", folder / "old.sqlite", "--json")
    assert result.exit_code == 0, result.output
    assert len(trained) == 2, "the fourth seed of two cells"
    assert stored(output / "results.sqlite")[: len(before)] == before
    document = json.loads(result.stdout)
    assert [row["cell"] for row in document["table"]] == [
        row["cell"] for row in document["table"] if not row["control"]
    ]
    assert document["pairs"][0]["seeds"] == 4
    assert json.loads((output / "comparison.json").read_text(encoding="utf-8"))["words"] == document["words"]
    told = " ".join(document["words"])
    assert "old.sqlite holds 6 of these 8 trials." in told
    assert "gru: all 3 trials are identical to the bit" in told
    assert {row["cell"]: row["identical"] for row in document["against"]} == {"gru": 3, "indrnn": 3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lstm",), "two or more different cells"),
        (("lstm", "gruu"), "'gruu'; did you mean gru"),
        (("lstm", "gru", "--task", "ading"), "'ading'; did you mean adding"),
        (("lstm", "gru", "--match", "size"), "match must be"),
        (("lstm", "gru", "--reference", "lsmt"), "'lsmt'"),
        (("lstm", "gru", "--baseline", "mgu"), "the baseline must be one of the cells compared, lstm, gru; got 'mgu'"),
        (("lstm", "gru", "--seeds", "0"), "--seeds must be at least 1"),
        (("lstm", "gru", "--length", "0"), "--lengths must be whole numbers of at least 1"),
        (("lstm", "gru", "--length", "long"), "--lengths must be whole numbers"),
        (("lstm", "gru", "--hidden", "0"), "hidden"),
        (("lstm", "gru", "--engine", "cpuu"), "'cpuu'; did you mean cpu"),
        (("lstm", "gru", "--quick", "--full"), "--quick and --full"),
        (("lstm", "gru", "--window", "3"), "--window needs a forecast"),
        (("lstm", "gru", "--against", "nowhere.sqlite"), "there is no results file nowhere.sqlite"),
        (("lstm", "mlp_last", "--match", "state", "--task", "adding", "--quiet"), "has no state"),
    ],
)
def test_bad_input_is_one_sentence(arguments, said, folder, monkeypatch):
    from rnnbench import trials

    def run_all(*_, **__):
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(trials, "run_all", run_all)
    assert said in refused("compare", *arguments)


def test_lengths_are_those_given_or_the_presets():
    tasks = ("adding", "digits_row", "text:book.txt")
    assert command._lengths(QUICK, tasks, (), None) == {"adding": QUICK.lengths["adding"]}
    assert command._lengths(QUICK, tasks, ("7", "9", "7"), None) == {"adding": (7, 9), "text:book.txt": (7, 9)}
    forecast = ("forecast:prices.csv:close",)
    assert command._lengths(QUICK, forecast, (), 3) == {forecast[0]: (3,)}


def test_rb_compare_is_the_same_in_a_notebook(compared):
    output, _ = compared
    settings = {"hidden": 3, "steps": 4, "evaluate_every": 4, "learning_rate": 0.003, "engine": "reference"}
    settings |= {"match": "parameters", "processes": 0, "output": output}
    found = rb.compare("indrnn", "gru", task="adding", length=4, seeds=3, **settings)
    assert sorted(found.cells) == ["gru", "indrnn"]
    assert isinstance(found.table, pd.DataFrame)
    assert found.figure.to_dict()["vconcat"]
    assert "<svg" in found._repr_html_()
    assert len(found.records) == 6
    for cells, said in ((("gru",), "two or more"), (("gru", "gruu"), "did you mean gru")):
        with pytest.raises(RnnbenchError, match=said):
            rb.compare(*cells, task="adding", output=None)


def test_merge_keeps_each_record_once_and_machines_apart(folder):
    with Store(folder / "a.sqlite") as store:
        store.add({"kind": "time", "key": "here", "schema": 1, "where": {"cpu": "A"}, "median": 1.0, "cell": "gru"})
        store.add({"kind": "trial", "key": "same", "schema": 1, "where": {"cpu": "A"}, "score": 0.5, "seconds": 1.0})
    with Store(folder / "b.sqlite") as store:
        store.add({"kind": "time", "key": "there", "schema": 1, "where": {"cpu": "B"}, "median": 2.0, "cell": "gru"})
        store.add({"kind": "trial", "key": "same", "schema": 1, "where": {"cpu": "B"}, "score": 0.5, "seconds": 9.0})
    result = invoke("merge", "a.sqlite", "b.sqlite", "--output", "c.sqlite")
    assert result.exit_code == 0, result.output
    assert "c.sqlite: 3 records from 2 states of machine and versions." in result.stdout
    assert "1 record in several files, with the same result: kept once." in result.stdout
    with Store(folder / "c.sqlite", read_only=True) as store:
        assert [record["key"] for record in store.records()] == ["here", "same", "there"]
        assert store.get("same") == stored(folder / "a.sqlite")[0]
    assert not list(folder.glob("*.part*"))


def test_merge_names_records_that_contradict_one_another(folder):
    for name, score in (("a", 0.5), ("b", 0.6)):
        trial = {"cell": "gru", "task": "adding", "length": 20, "seed": 3}
        with Store(folder / f"{name}.sqlite") as store:
            store.add({"kind": "trial", "key": "0123456789abcdef", "schema": 1, "trial": trial, "score": score})
    result = invoke("merge", "a.sqlite", "b.sqlite", "--output", "c.sqlite", "--json")
    assert result.exit_code == 1
    [conflict] = json.loads(result.stdout)["conflicts"]
    assert conflict["what"] == "gru on adding at T=20, seed 3"
    assert conflict["differing"] == ["score"]
    assert (conflict["kept"], conflict["dropped"]) == ("a.sqlite", "b.sqlite")
    assert stored(folder / "c.sqlite")[0]["score"] == 0.5


def test_merge_refuses_what_it_cannot_do_and_leaves_nothing_behind(folder):
    with Store(folder / "a.sqlite") as store:
        store.add({"kind": "time", "key": "1", "schema": 1})
    (folder / "notes.sqlite").write_text("my notes", encoding="utf-8")
    assert "two or more results files" in refused("merge", "a.sqlite", "--output", "c.sqlite")
    assert "there is no results file b.sqlite" in refused("merge", "a.sqlite", "b.sqlite", "--output", "c.sqlite")
    assert "not a results file" in refused("merge", "a.sqlite", "notes.sqlite", "--output", "c.sqlite")
    assert "exists already" in refused("merge", "a.sqlite", "a.sqlite", "--output", "notes.sqlite")
    (folder / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(RnnbenchError, match="cannot be"):
        merge(["a.sqlite", "a.sqlite"], "file/c.sqlite")
    assert {path.name for path in folder.glob("*[!lm]")} == {"a.sqlite", "notes.sqlite", "file"}, "but SQLite's own"


def test_export_writes_a_table_for_each_kind(compared, folder):
    output, _ = compared
    result = invoke("export", output, "--format", "csv", "--output", "tables")
    assert result.exit_code == 0, result.output
    kinds = {path.name for path in (folder / "tables").iterdir()}
    assert kinds == {"match.csv", "trial.csv"}
    trials = pd.read_csv(folder / "tables" / "trial.csv")
    records = stored(output / "results.sqlite")
    assert trials["score"].tolist() == pytest.approx([record["score"] for record in records])
    assert trials["trial.cell"].tolist() == [record["trial"]["cell"] for record in records]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_export_writes_one_kind_into_one_file(compared, folder, suffix):
    output, _ = compared
    count = len(stored(output / "results.sqlite"))
    result = invoke("export", output / "results.sqlite", "--kind", "trial", "--output", f"trials.{suffix}", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"files": [{"path": f"trials.{suffix}", "records": count}]}
    path = folder / f"trials.{suffix}"
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "json": lambda file: json.loads(file.read_text())}[suffix]
    assert len(read(path)) == count
    assert [one.name for one in folder.iterdir()] == [path.name]


def test_export_refuses_what_it_cannot_do(compared, folder):
    output, _ = compared
    assert "did you mean parquet" in refused("export", output, "--format", "parket")
    assert "do not agree" in refused("export", output, "--format", "csv", "--output", "all.json")
    assert "name one with --kind" in refused("export", output, "--output", "all.csv")
    assert "'trails'; did you mean trial" in refused("export", output, "--kind", "trails")
    assert "there is no results file" in refused("export", "nowhere.sqlite")
    (folder / "file").write_text("in the way", encoding="utf-8")
    assert "cannot be exported" in refused("export", output, "--output", "file/inside")
    with Store(folder / "empty.sqlite"):
        pass
    assert "holds no records yet" in refused("export", "empty.sqlite")
