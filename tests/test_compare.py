"""A comparison of cells: its words, table and picture, from records made by hand; and the older store beside it."""

import json
import math

import pandas as pd
import pytest
from report_records import MACHINE, trial_record

from rnnbench.compare.comparison import Comparison
from rnnbench.compare.figure import png, svg
from rnnbench.compare.older import Older
from rnnbench.compare.words import cells_table, pairs_table
from rnnbench.errors import RnnbenchError
from rnnbench.trials import Store

OTHER_MACHINE = MACHINE | {"cpu": "Another CPU", "cores": 8}


def run(cell, seed, steps=None, score=0.3, task="adding", length=20, **fields):
    """Return the record of a run that solved its task after ``steps`` of 600, or did not."""
    settings = {name: fields.pop(name) for name in ("hidden", "engine", "learning_rate") if name in fields}
    settings = {"engine": "cpu", "learning_rate": 0.01} | settings
    made = trial_record(cell, task, length, seed, steps is not None, score if steps is None else 0.97, **settings)
    key = f"{cell} {task} {length} {seed} {settings}"
    return (
        made | {"key": key, "steps_to_solve": steps, "steps": steps or 600, "seconds": (steps or 600) * 0.01} | fields
    )


def runs(cell, steps, **fields):
    """Return one run for each entry of ``steps``; None did not solve its task."""
    return [run(cell, seed, one, **fields) for seed, one in enumerate(steps)]


@pytest.fixture(scope="module")
def clear():
    """gru solves always, mgu now and then, elman_tanh never."""
    return Comparison.of(
        runs("gru", [100, 120, 110, 90, 130, 100, 120])
        + runs("mgu", [110, None, 300, None, 500, 100, None])
        + runs("elman_tanh", [None] * 7)
    )


def test_words_say_who_is_better_and_whether_that_is_real(clear):
    setting, headline, *pairs = clear.words.splitlines()
    assert setting == ("adding at T=20: 7 seeds of each cell, up to 600 steps, learning rate 0.01, engine cpu, H=32.")
    assert headline == "gru is better than elman_tanh, but cannot be told from mgu."
    between = pairs[0]
    # 35 pairs with runs of 300 steps and more, 3.5 with the one of 110 and 2 with that of 100: 40.5 of 49.
    assert between.startswith("gru comes out better than mgu in 83% of pairs of runs (95% interval 51%–95%); p = 0.087")
    assert "after correction for 3 pairs: not real at 7 seeds" in between
    assert pairs[1].startswith("gru comes out better than elman_tanh in 100% of pairs of runs")
    assert pairs[1].endswith("a real difference.")
    assert "elman_tanh solved 0 of 7 runs (0%–35%); score 0.300" in clear.words
    assert "gru solved 7 of 7 runs (65%–100%), half of all runs by step 110" in clear.words
    assert "Holm's correction for 3 pairs" in clear.words


def test_the_seeds_that_are_missing_are_told_and_are_the_ones_in_the_table(clear):
    row = clear.pairs.set_index(["better", "worse"]).loc["gru", "mgu"]
    assert not row["real"]
    assert row["more_seeds"] == row["seeds_needed"] - 7 > 0
    told = f"about {row['seeds_needed']} seeds would show it in four of five repetitions: {row['more_seeds']} more."
    assert told in clear.words
    assert (clear.pairs[clear.pairs["real"]]["more_seeds"] == 0).all()


def test_the_table_has_a_row_for_each_cell_in_the_order_of_merit(clear):
    table = clear.table.set_index("cell")
    assert list(table.index) == ["gru", "mgu", "elman_tanh"]
    assert table["solved"].tolist() == [7, 4, 0]
    assert table["steps_to_solve"].tolist() == [110, 500, math.inf]
    assert table["mean_steps"].tolist() == pytest.approx([110, (110 + 300 + 500 + 100 + 3 * 600) / 7, 600])
    assert table["step_seconds"].tolist() == pytest.approx([0.01] * 3)
    assert table["parameters"].tolist() == [1234] * 3
    assert (table["solved_low"] < table["solved"] / 7).tolist() == [True, True, False]
    shown = cells_table(clear)
    assert [row[0].text for row in shown.rows] == list(table.index)
    assert "over 600" in [entry.text for entry in shown.rows[2]]
    assert len(pairs_table(clear).rows) == 3


def test_no_difference_is_said_as_such():
    level = Comparison.of(runs("gru", [100, 200, 300, 400]) + runs("lstm", [100, 200, 300, 400]))
    assert "No difference between gru and lstm is real at 4 seeds." in level.words
    assert "come out better equally often" in level.words
    assert "would not show with 1,000 seeds either" in level.words
    assert pd.isna(level.pairs["seeds_needed"][0])
    assert "over 1,000" in [entry.text for entry in pairs_table(level).rows[0]]


def test_among_solved_runs_fewer_steps_are_better_whatever_the_scores_are():
    """Training ends once a task is solved: the scores of two solved runs say when that was, not who is better."""
    quick, slow = runs("gru", [100] * 5), runs("lstm", [500] * 5)
    for one in slow:
        one["score"] = 1.0
    found = Comparison.of(quick + slow)
    assert found.cells == ["gru", "lstm"]
    assert found.pairs["wins"][0] == 1
    assert found.pairs["real"][0]


def test_a_baseline_halves_the_work_and_the_correction():
    cells = {"gru": [100] * 5, "lstm": [None] * 5, "mgu": [300] * 5, "lem": [400] * 5}
    records = [one for cell, steps in cells.items() for one in runs(cell, steps)]
    every, against = Comparison.of(records), Comparison.of(records, baseline="mgu")
    assert len(every.pairs) == 6
    assert len(against.pairs) == 3
    assert "Held against mgu: gru is better; lem and lstm are worse." in against.words
    assert against.pairs["p_corrected"].max() < every.pairs["p_corrected"].max()


def test_a_control_is_named_as_one_and_never_the_best():
    found = Comparison.of(runs("mlp_window", [50] * 5) + runs("gru", [100] * 5) + runs("lstm", [None] * 5))
    assert found.cells == ["gru", "lstm", "mlp_window (control)"]
    assert found.table["control"].tolist() == [False, False, True]
    assert found.words.splitlines()[1] == "gru is better than lstm, and that is real: chance alone is no explanation."
    assert "The control mlp_window (control) came out ahead of gru and lstm" in found.words


def test_a_run_that_diverged_is_an_outcome_and_is_shown():
    records = runs("gru", [100] * 5) + runs("lstm", [120, 120, 120, 120, None])
    records[-1] |= {"diverged": True, "loss": None, "steps": 30}
    found = Comparison.of(records)
    assert found.table.set_index("cell")["diverged"].to_dict() == {"gru": 0, "lstm": 1}
    assert "1 diverged" in found.words
    assert found.table.set_index("cell")["mean_steps"]["lstm"] == pytest.approx(216), "its whole budget counts"


def test_only_seeds_that_all_cells_have_are_compared_and_the_others_are_named():
    records = runs("gru", [100] * 5) + runs("lstm", [None] * 4)
    found = Comparison.of(records, failures=["trial lstm seed 4 failed: killed"])
    assert found.table["runs"].tolist() == [4, 4]
    assert "1 run of gru left out" in found.words
    assert "trial lstm seed 4 failed: killed" in found.words
    with pytest.raises(RnnbenchError, match="no seed was finished by all cells"):
        Comparison.of(runs("gru", [100] * 5))


def test_several_tasks_and_lengths_are_taken_together():
    records = [
        one
        for length in (20, 40)
        for cell, steps in {"gru": [100, 120, 110], "lstm": [400, 410, 420]}.items()
        for one in runs(cell, steps, length=length)
    ]
    records += runs("gru", [10, 20, 30], task="copy", length=5) + runs("lstm", [100, 90, 80], task="copy", length=5)
    found = Comparison.of(records)
    assert found.words.startswith("adding at T=20 and 40 and copy at T=5: 3 seeds of each cell")
    assert found.table["runs"].tolist() == [9, 9]
    # Three strata of 3 against 3, every pair won: 2 of 20 ** 3 divisions are as extreme.
    assert found.pairs["p"][0] == pytest.approx(2 / 20**3)
    assert "adding, T=40" in svg(found.figure) or "adding, T=40" in json.dumps(found.figure.to_dict(validate=False))


def test_matched_sizes_are_told():
    records = runs("gru", [100] * 4, hidden=75) + runs("lstm", [120] * 4, hidden=64)
    words = Comparison.of(records, match="parameters", reference="lstm").words
    assert "hidden sizes with as many parameters as lstm: gru 75 and lstm 64." in words


def test_machines_and_versions_are_never_mixed_silently():
    here, there = runs("gru", [100] * 4), runs("lstm", [None] * 4, where=OTHER_MACHINE)
    found = Comparison.of(here + there)
    assert "The runs come from several machines, Test CPU, 2 cores and Another CPU, 8 cores" in found.words
    assert found.table["step_seconds"].isna().all(), "times of two machines are not held against each other"
    newer = runs("lstm", [None] * 4, where=MACHINE | {"commit": "fedcba9876543"})
    found = Comparison.of(here + newer)
    assert (
        "rnnbench of unknown number at commit abc123 and rnnbench of unknown number at commit fedcba9876" in found.words
    )
    assert found.table["step_seconds"].isna().all()


def test_engines_are_not_compared_with_one_another():
    with pytest.raises(RnnbenchError, match="several engines are not compared with one another: cpu, reference"):
        Comparison.of(runs("gru", [100] * 3) + runs("lstm", [100] * 3, engine="reference"))


def test_one_learning_rate_for_all_is_a_caution():
    one = Comparison.of(runs("gru", [100] * 3) + runs("lstm", [100] * 3))
    two = Comparison.of(runs("gru", [100] * 3) + runs("lstm", [100] * 3, learning_rate=0.001))
    assert "undersold" in one.words
    assert "undersold" not in two.words


def test_it_shows_itself_in_a_notebook_and_on_a_terminal(clear):
    assert str(clear) == clear.words
    bundle = clear._repr_mimebundle_()
    assert bundle["text/plain"] == clear.words
    page = bundle["text/html"]
    assert page == clear._repr_html_()
    assert page.count("<table>") == 2
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/", ""), "nothing is loaded from anywhere"
    assert bundle["text/markdown"].count("| --- |") >= 1
    assert clear.figure.to_dict()["vconcat"], "valid as altair checks it, which a notebook does"
    assert png(clear.figure, scale=1).startswith(b"\x89PNG")


def test_names_from_files_are_escaped_wherever_they_are_shown():
    evil = "a|b.py:<script>alert(1)</script>"
    found = Comparison.of(runs(evil, [100] * 4) + runs("gru", [None] * 4))
    assert "<script" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()
    assert "<script" not in found.markdown()
    assert "a\\|b.py" in found.markdown()


def test_json_has_no_number_that_json_lacks(clear):
    document = json.loads(json.dumps(clear.to_json(), allow_nan=False))
    assert document["words"] == clear.words.splitlines()
    rows = {row["cell"]: row for row in document["table"]}
    assert rows["elman_tanh"]["steps_to_solve"] is None
    assert rows["gru"]["solved"] == 7
    assert {type(row["real"]) for row in document["pairs"]} == {bool}
    assert len(document["keys"]) == 21


@pytest.fixture
def older(tmp_path):
    """A store with the same trials of gru, other results of lstm, and a trial of mgu under another key."""
    with Store(tmp_path / "old.sqlite") as store:
        for record in runs("gru", [100] * 5) + runs("lstm", [None] * 5):
            store.add(record | {"where": MACHINE | {"commit": "0123456789abcdef"}})
        store.add(run("mgu", 0, 100) | {"key": "asked of other equations"})
    return Older.read(tmp_path / "old.sqlite")


def test_against_an_older_store_the_same_trials_are_compared(older):
    now = runs("gru", [100] * 5, seconds=2.0) + runs("lstm", [200] * 5) + runs("mgu", [100])
    table = older.table(now).set_index("cell")
    assert table["trials"].to_dict() == {"gru": 5, "lstm": 5}
    assert table["identical"].to_dict() == {"gru": 5, "lstm": 0}
    assert table["p"]["gru"] == 1
    assert table["p"]["lstm"] == pytest.approx(2 / 252)
    assert table["step_ratio"]["gru"] == pytest.approx(2.0), "0.02 s a step now, 0.01 s then"
    told = " ".join(older.sentences(now))
    assert "old.sqlite holds 10 of these 11 trials." in told
    assert (
        "gru: all 5 trials are identical to the bit; a training step takes 2.00× (2.00–2.00) as long as then." in told
    )
    assert "lstm: 0 of 5 trials are identical to the bit; solved 5 now and 0 then" in told
    assert "a real difference (p = 0.0079)" in told
    assert "trials of mgu under other keys" in told
    assert "Then by rnnbench of unknown number at commit 0123456789, now by" in told


def test_against_a_store_of_another_machine_times_are_left_out(older):
    now = runs("gru", [100] * 5, where=OTHER_MACHINE)
    assert older.table(now)["step_ratio"].isna().all()
    told = " ".join(older.sentences(now))
    assert "Then on Test CPU, 2 cores, now on Another CPU, 8 cores: times are not compared" in told
    assert "as long as then" not in told


def test_an_older_store_that_holds_nothing_of_this(older, tmp_path):
    told = older.sentences(runs("lem", [100] * 2))
    assert len(told) == 1
    assert told[0].endswith("holds 0 of these 2 trials.")
    with pytest.raises(RnnbenchError, match="there is no results file"):
        Older.read(tmp_path / "nowhere.sqlite")


def test_a_comparison_tells_what_the_older_store_says(older):
    found = Comparison.of(runs("gru", [100] * 5) + runs("lstm", [200] * 5), older=older)
    assert "gru: all 5 trials are identical to the bit" in found.words
    assert {row["cell"] for row in found.to_json()["against"]} == {"gru", "lstm"}
