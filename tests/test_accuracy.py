"""The table of published results: its rules judge as they say, and what it writes is what the store holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import __main__ as program
from benchmarks.accuracy import blind, table
from benchmarks.accuracy.claim import Claim
from benchmarks.accuracy.claims import CLAIMS
from benchmarks.accuracy.judge import (
    Finding,
    Rule,
    below_chance,
    fail,
    kendall,
    near_chance,
    not_worse,
    probability_better,
    ranked,
    solve,
    worse,
)
from benchmarks.accuracy.row import Row
from rnnbench.errors import RnnbenchError
from rnnbench.tasks import get_task
from rnnbench.trials import Result, Store, Trial

CHECKOUT = Path(__file__).parents[1]
TINY: dict[str, Any] = {"task": "adding", "length": 4, "hidden": 3, "steps": 2, "batch": 4, "engine": "reference"}


def result(solved=False, score=0.2, loss=0.16, steps_to_solve=None, **fields) -> Result:
    made: dict[str, Any] = {"cell": "gru", **TINY, **fields}
    trial = Trial(**made)
    known: dict[str, Any] = {"chance": 1 / 6, "chance_of": "loss", "chance_score": 0.15, "solved_at": 0.95}
    known |= {"steps": 2, "diverged": False, "seconds": 1.0, "params": 9, "clipped": 0.0, "created": "2026-01-01"}
    return Result(
        trial=trial, key=trial.key, score=score, loss=loss, solved=solved, steps_to_solve=steps_to_solve, curve=[],
        validation=[], **known,
    )  # fmt: skip


def runs(**arms):
    """Return runs by arm, from "solved" flags, scores or losses."""
    return {arm: [result(**one) for one in held] for arm, held in arms.items()}


SOLVED, NOT = {"solved": True}, {"solved": False}


@pytest.mark.parametrize(
    ("rule", "held", "holds"),
    [
        (solve("a"), runs(a=[SOLVED, SOLVED, NOT]), True),
        (solve("a"), runs(a=[SOLVED, NOT]), False),  # half is not most
        (solve("a", "b"), runs(a=[SOLVED], b=[NOT]), False),
        (fail("a"), runs(a=[NOT, NOT, NOT]), True),
        (fail("a"), runs(a=[NOT, SOLVED, NOT]), False),
        (near_chance("a", 0.1), runs(a=[{"loss": 0.16}, {"loss": 0.17}, {"loss": 9.0}]), True),
        (near_chance("a", 0.1), runs(a=[{"loss": 0.14}]), False),
        (near_chance("a", 0.1), runs(a=[{"loss": 0.2}]), False),
        (near_chance("a", 0.1), runs(a=[{"loss": float("nan")}]), False),
        (below_chance("a", 0.5), runs(a=[{"loss": 0.08}]), True),
        (below_chance("a", 0.5), runs(a=[{"loss": 0.09}]), False),
        (below_chance("a", 0.5), runs(a=[{"loss": float("nan")}]), False),
        (worse("a", "b"), runs(a=[{"score": 0.1}], b=[{"score": 0.9}]), True),
        (worse("a", "b"), runs(a=[{"score": 0.9}], b=[{"score": 0.1}]), False),
        (worse("a", "b"), runs(a=[{"score": 0.5}], b=[{"score": 0.5}]), False),
        (not_worse("a", "b"), runs(a=[{"score": 0.5}], b=[{"score": 0.5}]), True),
        (not_worse("a", "b"), runs(a=[{"score": 0.1}], b=[{"score": 0.9}]), False),
        (ranked(["a", "b", "c"], 0.6), runs(a=[{"score": 0.1}], b=[{"score": 0.2}], c=[{"score": 0.3}]), True),
        (ranked(["a", "b", "c"], 0.6), runs(a=[{"score": 0.2}], b=[{"score": 0.1}], c=[{"score": 0.3}]), False),
    ],
)
def test_a_rule_holds_where_its_words_are_true(rule, held, holds):
    assert rule.judge(held).holds is holds


def test_findings_tell_the_numbers():
    held = runs(a=[SOLVED, SOLVED, NOT], b=[NOT])
    assert solve("a", "b").judge(held).numbers == "solved by a 2 of 3 (21%–94%) and b 0 of 1 (0%–79%)"
    assert near_chance("b", 0.1).judge(held).numbers == "b loss 0.160 (0.160–0.160), blind guessing 0.167"
    assert worse("a", "b").judge(held).numbers == "b beats a with probability 0.50"
    assert ranked(["b", "a"], 0.5).judge(held).numbers == "rank correlation 0.00: b 0.200 < a 0.200"
    overflowing = {"b": [result(loss=float("inf")), result(loss=0.5)]}
    assert below_chance("b", 0.1).judge(overflowing).numbers == "b loss 0.500 (not all finite), blind guessing 0.167"
    assert near_chance("b", 0.1).says == "b: median loss within 10% of blind guessing"


def test_the_probability_of_being_better_counts_pairs_and_ties_half():
    low, high = [result(score=0.1), result(score=0.5)], [result(score=0.5), result(score=0.9)]
    assert probability_better(high, low, "score") == (1 + 0.5 + 1 + 1) / 4
    assert probability_better(low, high, "score") == 0.5 / 4
    fast, late = [result(steps_to_solve=100)], [result(steps_to_solve=300), result()]
    assert probability_better(fast, late, "steps") == 1
    assert probability_better([result()], [result()], "steps") == 0.5, "two that are not solved are equal"
    finite, diverged = [result(loss=5.0)], [result(loss=float("nan"))]
    assert probability_better(finite, diverged, "loss") == 1


def test_kendalls_tau():
    assert kendall([1, 2, 3, 4]) == 1
    assert kendall([4, 3, 2, 1]) == -1
    assert kendall([1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert kendall([1, 1]) == 0


CLAIM = Claim(
    name="small",
    claim="A gated cell | is better",
    source="Nobody 2026",
    settings=TINY,
    arms={"gru": {}, "wide": {"cell": "gru", "hidden": 5}},
    rules=(fail("gru"), solve("wide")),
    seeds=2,
    remark="Tiny.",
)


def fill(store, count):
    """Put the first trials of CLAIM into the store: those of the wide arm solve their task."""
    for trial in CLAIM.trials()[:count]:
        wide = trial.hidden == 5
        one = result(solved=wide, steps_to_solve=2 if wide else None, hidden=trial.hidden, seed=trial.seed)
        store.add(one.to_record())


def test_a_claim_is_judged_once_all_its_trials_are_there(tmp_path):
    assert [(one.hidden, one.seed) for one in CLAIM.trials()] == [(3, 0), (5, 0), (3, 1), (5, 1)]
    with Store(tmp_path / "a.sqlite") as store:
        assert CLAIM.row(store).outcome == "not run"
        fill(store, 3)
        part = CLAIM.row(store)
        assert (part.outcome, part.findings) == ("not run", [])
        assert (part.missing, part.note) == ("3 of 4 trials have run", "Tiny.")
        assert CLAIM.row(store, seeds=1).outcome == "yes", "of one seed all have run"
        fill(store, 4)
        row = CLAIM.row(store)
    assert row.outcome == "yes"
    assert [finding.numbers for _, finding in row.findings] == [
        "solved by gru 0 of 2 (0%–66%)",
        "solved by wide 2 of 2 (34%–100%)",
    ]
    assert row.missing == ""
    assert row.entries[1] == ["wide", "9", "2 of 2 (34%–100%)", "0.200 (0.200–0.200)", "0.160 (0.160–0.160)", "2", "0"]
    assert "adding, T=4, batch=4, at most 2 steps" in row.protocol
    assert "wide: gru, H=5" in row.protocol
    assert "2 seeds" in row.protocol


@pytest.mark.parametrize(("holds", "outcome"), [([True, True], "yes"), ([True, False], "in part"), ([False], "no")])
def test_the_outcome_is_that_of_all_rules(holds, outcome):
    findings = [(Rule("it is so", lambda _: Finding(True, "")), Finding(one, "1")) for one in holds]
    assert _row(findings).outcome == outcome
    assert _row([]).outcome == "not run"


def _row(findings) -> Row:
    missing = "" if findings else "1 of 9 trials have run"
    return Row("small", "A | claim", "Nobody 2026", "once", findings, ("arm",), [["lstm_np"]], missing, "", {})


def test_the_table_is_written_from_the_store_without_any_time(tmp_path):
    with Store(tmp_path / "a.sqlite") as store:
        fill(store, 4)
        rows = [CLAIM.row(store), _row([])]
    table.write(tmp_path, rows)
    text = (tmp_path / "accuracy.md").read_text(encoding="utf-8")
    command = "`python -m benchmarks.accuracy --only small`"
    numbers = "solved by gru 0 of 2 (0%–66%); solved by wide 2 of 2 (34%–100%)"
    assert f"| [A gated cell \\| is better](#small) | yes | {numbers} | {command} |" in text
    assert f"| [A \\| claim](#small) | not run | 1 of 9 trials have run | {command} |" in text
    assert "| wide: most seeds solve it | yes | solved by wide 2 of 2 (34%–100%) |" in text
    assert "(Nobody 2026)" in text
    document = json.loads((tmp_path / "accuracy.json").read_text(encoding="utf-8"))
    assert [row["outcome"] for row in document["rows"]] == ["yes", "not run"]
    assert len(document["rows"][0]["data"]["wide"]) == 2
    assert "seconds" not in json.dumps(document)


def test_blind_guessing_is_measured_and_held_to_what_the_task_says():
    exact = blind.measure(get_task("copy", 10))
    assert exact.agrees
    assert exact.loss == pytest.approx(exact.worked_out, rel=1e-9)
    drawn = blind.measure(get_task("adding", 10))
    assert drawn.agrees
    assert 0 < drawn.error < 0.01
    wrong = blind.Measured("adding", worked_out=1 / 6, loss=0.25, error=drawn.error)
    assert not wrong.agrees


def test_the_row_of_blind_guessing_measures_each_task_once(tmp_path, monkeypatch):
    monkeypatch.setattr(blind, "_names", lambda: ["temporal_order_3", "parity"])
    row = blind.Blind()
    with Store(tmp_path / "a.sqlite") as store:
        assert row.row(store).outcome == "not run"
        row.measure(store)
        before = store.records()
        row.measure(store)
        assert store.records() == before
        written = row.row(store)
    assert written.outcome == "yes"
    assert written.findings[0][1].numbers == "2 of 2 tasks agree"
    assert [entry[0] for entry in written.entries] == ["temporal_order_3", "parity"]


def test_every_row_is_well_formed_and_its_seeds_are_not_those_it_was_tuned_on(monkeypatch):
    monkeypatch.chdir(CHECKOUT)  # one row names a cell by its file, from where the program is run
    names = [row.name for row in program.ROWS]
    assert len(set(names)) == len(names)
    for claim in CLAIMS:
        trials = claim.trials()
        assert len({trial.key for trial in trials}) == len(trials), claim.name
        assert {trial.seed for trial in trials} == set(range(claim.seeds))
        assert claim.seeds >= 3
        assert claim.rules
        judged = {arm: [result()] for arm in claim.arms}
        for rule in claim.rules:
            rule.judge(judged)  # names arms that there are


def test_the_program_runs_one_row_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "ROWS", [CLAIM])
    arguments = ["--output", str(tmp_path), "--only", "small", "--processes", "0"]
    assert program.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "accuracy.md")
    assert "small 4/4" in captured.err
    first = (tmp_path / "accuracy.json").read_bytes()
    assert program.main(arguments) == 0
    assert capsys.readouterr().err == "", "nothing is run twice"
    assert (tmp_path / "accuracy.json").read_bytes() == first


def test_bad_arguments_are_one_sentence(tmp_path, capsys):
    assert program.main(["--only", "nothing", "--output", str(tmp_path)]) == 2
    assert "unknown row 'nothing'" in capsys.readouterr().err
    assert program.main(["--seeds", "0", "--output", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_the_published_table_is_of_these_rows():
    folder = CHECKOUT / "reports" / "reference"
    document = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in document["rows"]] == [row.name for row in program.ROWS]
    text = (folder / "accuracy.md").read_text(encoding="utf-8")
    for row, written in zip(program.ROWS, document["rows"], strict=True):
        assert f"](#{row.name}) | {written['outcome']} |" in text
        assert written["command"] in text


def test_a_record_of_another_kind_is_no_result():
    with pytest.raises(RnnbenchError, match="kind"):
        Result.from_record({"kind": blind.KIND, "schema": 1})
