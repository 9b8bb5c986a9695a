"""The report over all tasks together: which runs are taken, the order of cells, the table, the profile; controls."""

import pytest
from report_records import MACHINE, time_record, trial_record

from rnnbench.report import frames, machines, standing, verdict
from rnnbench.report.across_tasks import (
    across_tasks,
    aggregate_table,
    common_runs,
    order_of_merit,
    profile_figure,
)
from rnnbench.report.palette import Palette
from rnnbench.report.section import Evidence


def runs(cell, task, length, outcomes):
    """Return the records of a cell's runs, one for each entry: whether it solved the task."""
    return [trial_record(cell, task, length, seed, solved) for seed, solved in enumerate(outcomes)]


def three_cells():
    records = runs("gru", "adding", 10, [True] * 3) + runs("gru", "copy", 5, [True] * 3)
    records += runs("lstm", "adding", 10, [True, False, False]) + runs("lstm", "copy", 5, [False] * 3)
    return records + runs("mlp_window", "adding", 10, [True] * 3) + runs("mlp_window", "copy", 5, [True] * 3)


def evidence(records):
    return Evidence(records, Palette(frames.names(frames.trials(records))))


def entries(table, heading):
    place = next(index for index, name in enumerate(table.columns) if name.startswith(heading))
    return {row[0].text: row[place].text for row in table.rows}


def test_a_control_is_marked_and_comes_after_all_cells_whatever_it_solved():
    trials = frames.trials(three_cells())
    assert set(trials["cell"]) == {"gru", "lstm", "mlp_window (control)"}
    assert order_of_merit(common_runs(trials)) == ["gru", "lstm", "mlp_window (control)"]
    ranked = standing.ranking(trials)
    assert ranked["cell"].tolist() == ["gru", "lstm", "mlp_window (control)"]
    longest = verdict.answers([one for one in three_cells() if one["trial"]["cell"] != "gru"])[-1]
    assert "lstm came closest" in longest.sentence
    assert "mlp_window" not in " ".join(one.winner + one.sentence for one in verdict.answers(three_cells()))


def test_measurements_of_several_machines_are_said_to_be():
    here, there = time_record("gru", [1e-3]), time_record("lstm", [2e-3])
    assert machines.machines_note([here, there]) == ""
    there["where"] = MACHINE | {"cpu": "Another CPU", "cores": 8}
    told = machines.machines_note([here, there])
    assert "Test CPU, 2 cores and Another CPU, 8 cores" in told
    trial = trial_record("gru", "adding", 10, 0, True) | {"where": there["where"]}
    assert machines.machines_note([here, trial]) == "", "a seed decides a trial's score, and not the machine"


def test_the_table_over_all_tasks_by_hand():
    table = aggregate_table(common_runs(frames.trials(three_cells())))
    assert table is not None
    assert entries(table, "runs solved") == {
        "gru": "6/6 (61%–100%)",
        "lstm": "1/6 (3%–56%)",
        "mlp_window (control)": "6/6 (61%–100%)",
    }
    # lstm: of 9 pairs on adding 3 are ties, of 9 on copy none is won: (1.5 / 9 + 0) / 2.
    assert entries(table, "better than gru")["lstm"].startswith("8% (")
    assert entries(table, "better than gru")["mlp_window (control)"].startswith("50% (")
    assert entries(table, "better than gru")["gru"] == "—"
    assert entries(table, "median steps")["gru"] == "400 (400–400)"
    assert entries(table, "median steps")["lstm"].startswith("over 600")
    other = aggregate_table(common_runs(frames.trials(three_cells())), against="lstm")
    assert other is not None
    assert entries(other, "better than lstm")["gru"].startswith("92% (")


def test_only_tasks_that_all_cells_have_count_and_a_cell_that_lacks_them_is_left_out():
    records = three_cells() + runs("gru", "parity", 40, [True] * 3) + runs("lem", "parity", 40, [True] * 3)
    found = common_runs(frames.trials(records))
    assert set(found) == {"gru", "lstm", "mlp_window (control)"}
    assert set(found["gru"]) == {("adding", "10.0"), ("copy", "5.0")}
    assert common_runs(frames.trials([])) == {}
    assert common_runs(frames.trials(runs("gru", "adding", 10, [True]) + runs("lstm", "copy", 5, [True]))) == {}


def test_one_task_and_length_has_no_section_of_its_own():
    assert across_tasks(evidence(runs("gru", "adding", 10, [True]) + runs("lstm", "adding", 10, [False]))).empty
    section = across_tasks(evidence(three_cells()))
    assert [table.name for table in section.tables] == ["across"]
    assert [figure.name for figure in section.figures] == ["performance_profile"]


def test_the_profile_falls_from_all_runs_to_none():
    found = common_runs(frames.trials(three_cells()))
    figure = profile_figure(found, Palette(sorted(found)))
    figure.chart.to_dict()  # valid as Vega-Lite
    [rows] = figure.spec["datasets"].values()
    shares = {cell: [row["share"] for row in rows if row["cell"] == cell] for cell in found}
    # Scores are 0.97 where a task was solved and else 0.3.
    assert shares["gru"][0] == shares["gru"][25] == 1
    assert shares["lstm"][0] == 1
    assert shares["lstm"][25] == pytest.approx(1 / 6, abs=1e-4)
    assert shares["gru"][-1] == 0
    assert all(row["low"] <= row["share"] <= row["high"] for row in rows)


def test_an_outcome_orders_runs_as_the_page_says():
    records = [trial_record("gru", "adding", 10, seed, solved=seed < 2, score=score) for seed, score in
               enumerate((0.96, 0.99, 0.8, 0.2))]  # fmt: skip
    records[0]["steps_to_solve"], records[1]["steps_to_solve"] = 600, 100
    outcomes = frames.trials(records)["outcome"].tolist()
    assert sorted(outcomes, reverse=True) == [outcomes[1], outcomes[0], outcomes[2], outcomes[3]]
    assert outcomes[0] > 0 >= outcomes[2], "solved at the last step is still better than not solved"
