"""The first screen: which cell is fastest, smallest, remembers longest, and the tables below it."""

import itertools

import pytest
from report_records import compile_record, memory_record, small_run, time_record, trial_record

from rnnbench.report import frames, standing, tables, verdict
from rnnbench.report.quantities import NOT_MEASURED


def answer(records, question):
    return {one.question: one for one in verdict.answers(records)}[question]


def column(table, heading):
    place = next(index for index, name in enumerate(table.columns) if name.startswith(heading))
    return [row[place].text for row in table.rows]


def test_answers_name_the_winners_with_their_numbers():
    fastest, smallest, longest = verdict.answers(small_run())
    assert [one.winner for one in (fastest, smallest, longest)] == ["elman_tanh", "elman_tanh", "gru"]
    assert "1.41 ms" in fastest.sentence  # 1.1 * 128e-5 s at the usual shape
    assert "T=100 B=32 I=128 H=128" in fastest.sentence
    assert "the next, gru, takes 3.00×" in fastest.sentence
    assert "2.00 MiB of workspace" in smallest.sentence
    assert "fewest parameters, 32,896 (I=128 H=128)" in smallest.sentence
    assert "gru solved adding up to T=40 (2 of 2 runs)" in longest.sentence
    assert "the next, elman_tanh, solved adding up to T=10 (2 of 2 runs)" in longest.sentence
    assert "limit lies beyond" in longest.sentence


def test_what_was_not_measured_is_said_to_be():
    assert [one.winner for one in verdict.answers([])] == [NOT_MEASURED] * 3
    only_times = [time_record("gru", [1e-3, 2e-3, 3e-3])]
    assert [one.winner for one in verdict.answers(only_times)] == ["gru", NOT_MEASURED, NOT_MEASURED]
    table = tables.verdict_table([*only_times, trial_record("lstm", "adding", 10, 0, solved=True)])
    assert table is not None
    assert column(table, "cell") == ["lstm", "gru"]
    assert column(table, "training step") == [NOT_MEASURED, "2.00"]
    assert column(table, "adding") == ["T=10 (1/1)", NOT_MEASURED]


def test_no_winner_is_made_up_where_nothing_was_solved():
    runs = [
        trial_record("gru", "adding", 10, 0, False, score=0.6),
        trial_record("lstm", "adding", 10, 0, False, score=0.4),
    ]
    longest = answer(runs, "Remembers longest")
    assert longest.winner == "none yet"
    assert (
        "No cell solved a task within its budget in 2 runs; gru came closest, with a mean score of 0.600"
        in longest.sentence
    )
    assert "chance 0.100" in longest.sentence


def test_cells_that_cannot_be_told_apart_share_the_place():
    records = [time_record("gru", [1.0e-3, 2.0e-3, 3.0e-3]), time_record("lstm", [1.1e-3, 2.1e-3, 3.1e-3])]
    assert answer(records, "Fastest").winner == "gru and lstm"
    solved = [trial_record(cell, "adding", 10, seed, True) for cell in ("gru", "lstm") for seed in (0, 1)]
    assert answer(solved, "Remembers longest").winner == "gru and lstm"
    assert (
        answer([memory_record("gru", 100, 40, 0), memory_record("lstm", 100, 40, 0)], "Smallest").winner
        == "gru and lstm"
    )


def test_a_length_counts_only_if_every_shorter_one_was_solved():
    runs = [trial_record("gru", "adding", length, seed, length != 20) for length in (10, 20, 40) for seed in (0, 1)]
    found = standing.reach(standing.by_length(frames.trials(runs)))
    assert found is not None
    assert found["length"] == 10
    assert standing.reach(standing.by_length(frames.trials([trial_record("gru", "adding", 10, 0, False)]))) is None


def test_half_of_the_runs_is_enough_and_less_is_not():
    for solved, reached in ((1, None), (2, 30), (3, 30)):
        runs = [trial_record("gru", "adding", 30, seed, seed < solved) for seed in range(4)]
        found = standing.reach(standing.by_length(frames.trials(runs)))
        assert (None if found is None else found["length"]) == reached


def test_long_range_tasks_decide_over_those_of_a_single_length():
    runs = [trial_record("gru", "adding", length, 0, True) for length in (10, 20)]
    runs += [trial_record("lstm", "adding", length, 0, length == 10) for length in (10, 20)]
    runs += [trial_record("lstm", "digits_row", 8, seed, True) for seed in range(5)]
    runs += [trial_record("gru", "digits_row", 8, seed, False) for seed in range(5)]
    assert answer(runs, "Remembers longest").winner == "gru"


def test_missing_length_does_not_flatter():
    runs = [trial_record("gru", "adding", length, 0, False, score=score) for length, score in ((10, 0.8), (20, 0.2))]
    runs.append(trial_record("lstm", "adding", 10, 0, False, score=0.7))
    assert "gru came closest, with a mean score of 0.800" in answer(runs, "Remembers longest").sentence


def test_settings_of_one_cell_are_not_mixed():
    runs = [
        trial_record("gru", "adding", 10, seed, hidden == 64, hidden=hidden) for hidden in (32, 64) for seed in (0, 1)
    ]
    table = tables.verdict_table([*runs, trial_record("lstm", "adding", 10, 0, True, hidden=32)])
    assert table is not None
    assert set(column(table, "cell")) == {"gru (hidden=64)", "gru (hidden=32)", "lstm"}
    # A budget that grows with the length is no other setting of the cell.
    runs = [trial_record("gru", "adding", length, 0, True, steps=10 * length) for length in (10, 20)]
    assert set(frames.trials(runs)["cell"]) == {"gru"}


def test_the_newest_record_of_a_measurement_counts():
    old = time_record("gru", [1.0, 2.0, 3.0], created="2025-01-01T00:00:00+00:00")
    new = time_record("gru", [4.0, 5.0, 6.0], created="2026-02-01T00:00:00+00:00")
    for records in itertools.permutations([old, new]):
        assert frames.times(records)["median"].tolist() == [5.0]


def test_the_reference_engine_is_never_the_fastest():
    records = [time_record("lstm", [1e-6, 1e-6, 1e-6], "rnnbench.reference"), time_record("gru", [1e-3, 1e-3, 1e-3])]
    assert answer(records, "Fastest").winner == "gru"


def test_cells_are_compared_at_the_shape_that_most_share():
    odd = (7, 1, 8, 8)
    records = [time_record("lstm", [1e-6] * 3, shape=odd)]
    records += [time_record(cell, [value] * 3) for cell, value in (("lstm", 2e-3), ("gru", 1e-3))]
    assert answer(records, "Fastest").winner == "gru"


def test_losses_against_peers_are_told_with_wins():
    (note,) = verdict.peer_notes(frames.times(small_run()))
    assert note.startswith("Against torch, rnnbench is faster in 6 and slower in 1 of 7 paired comparisons.")
    assert "from 0.500× (0.500–0.500) for gru, training at T=25" in note
    assert "to 2.00× (2.00–2.00)" in note
    table = tables.speedup_table(small_run())
    assert table is not None
    assert column(table, "rnnbench is") == ["slower"] + ["faster"] * 6


def test_verdict_sorts_by_memory_of_the_past_and_gives_success_with_wilson():
    table = tables.verdict_table(small_run())
    assert table is not None
    assert column(table, "cell") == ["gru", "elman_tanh"]
    assert column(table, "adding") == ["T=40 (2/2)", "T=10 (2/2)"]
    assert column(table, "runs solved") == ["8/8 (68%–100%)", "4/8 (22%–78%)"]
    assert column(table, "training step") == ["4.22", "1.41"]
    assert column(table, "training memory") == ["6.38", "2.13"]
    assert column(table, "parameters") == ["98,688", "32,896"]


def test_diverged_runs_are_counted_and_drawn_up_to_where_they_did():
    run = trial_record("gru", "adding", 10, 0, False) | {"diverged": True, "loss": None}
    run["curve"] = [[1, 0.5], [2, 0.7], [3, None]]
    (row,) = frames.rows_of(standing.by_length(frames.trials([run])))
    assert row["diverged"] == 1
    assert "1 diverged" in verdict.protocol_note(frames.trials([run]))


def test_compile_times_are_sorted_and_have_units():
    table = tables.compile_table([compile_record("gru", 5.0, 1.0, 6e-4), compile_record("lstm", 3.0, 0.9, 2e-4)])
    assert table is not None
    assert column(table, "cell") == ["lstm", "gru"]
    assert column(table, "cold, s") == ["3.00", "5.00"]
    assert column(table, "steady, ms") == ["0.200", "0.600"]


@pytest.mark.parametrize("text", ["a|b", "<b>", "[x](http://y)", "`c`", "*d*", "line\nbreak", "e_f_g", "\\|"])
def test_no_name_breaks_out_of_a_markdown_table(text):
    table = tables.table(
        "t", "t", "t", frames.trials([trial_record(text, "adding", 1, 0, True)]), [("cell", "cell", None)]
    )
    assert table is not None
    lines = table.markdown().splitlines()
    row = lines[-1]
    assert lines[-2] == "| --- |"
    shown = row.removeprefix("| ").removesuffix(" |")
    unescaped = [mark for index, mark in enumerate(shown) if mark in "`*_[]|<" and shown[:index][-1:] != "\\"]
    assert not unescaped
    assert shown.replace("\\\\", "").count("\\") == sum(text.replace("\\", "").count(mark) for mark in "`*_[]|")
