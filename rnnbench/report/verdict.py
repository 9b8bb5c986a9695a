"""The report's first screen: which cell is fastest, which smallest, which remembers longest, in plain sentences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rnnbench.report import frames, standing
from rnnbench.report.quantities import NOT_MEASURED, listed, number, percent, seconds, size, times, whole
from rnnbench.report.statistics import ratio_of_medians, speed_ratio


@dataclass(frozen=True)
class Answer:
    """One question of the first screen, its winner in a word or two, and the sentence with the numbers."""

    question: str
    winner: str
    sentence: str


def answers(records: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """Return the three answers, each derived from the records or "not measured"; a control is none."""
    records = list(records)
    timed, trials = frames.times(records), frames.trials(records)
    trials = trials[~trials["control"].astype(bool)]
    return [_fastest(timed), _smallest(frames.memories(records), trials), _longest(trials)]


def speed_rows(timed: frames.Frame) -> frames.Frame:
    """Return the rows that rank cells by speed, fastest first: training (else forward) at their common shape."""
    mine = frames.ours(timed)
    training = mine[mine["mode"] == "training"]
    rows = frames.common_shape(mine if training.empty else training)
    return rows.sort_values(["median", "cell"], ignore_index=True)


def memory_rows(memory: frames.Frame) -> frames.Frame:
    """Return the rows that rank cells by memory, smallest first, with ``total``: parameters and training's workspace.

    Where no engine gave its account, ``total`` is the peak growth of a fresh process.
    """
    mine = frames.ours(memory)
    training = mine[mine["training"].map(bool).astype(bool)]
    told = training[training["workspace_bytes"].notna()]
    rows = frames.common_shape(training if told.empty else told)
    own = rows["workspace_bytes"] + rows["parameter_bytes"].fillna(0)
    return rows.assign(total=own.fillna(rows["peak_growth_bytes"])).sort_values(["total", "cell"], ignore_index=True)


def parameter_counts(memory: frames.Frame, trials: frames.Frame) -> tuple[dict[str, float], str]:
    """Return the number of parameters of each cell and the sizes they were counted at ("" if unknown)."""
    rows = memory_rows(memory).dropna(subset=["parameter_bytes"])
    bytes_each = rows["dtype"].map({"float32": 4, "float64": 8}).astype(float)  # also where no row matches
    counted = (rows["parameter_bytes"] / bytes_each).groupby(rows["cell"]).first().dropna()
    if len(counted):
        sizes = " ".join(f"{letter}={int(rows[letter].iloc[0])}" for letter in "IH" if pd.notna(rows[letter].iloc[0]))
        return {str(cell): float(count) for cell, count in counted.items()}, sizes
    told = trials.dropna(subset=["params"])
    if told.empty:
        return {}, ""
    task = told["task"].iloc[0]
    each = told[told["task"] == task].groupby("base")["params"].first()
    return {str(cell): float(count) for cell, count in each.items()}, f"the model of {task}"


def _fastest(timed: frames.Frame) -> Answer:
    rows = speed_rows(timed)
    if rows.empty:
        return Answer("Fastest", NOT_MEASURED, "Time per step was not measured.")
    best = frames.rows_of(rows)[0]
    what = "training step (forward and backward of a batch)" if best["mode"] == "training" else "forward pass"
    where = ", ".join(filter(None, [frames.shape_text(best), _text(best["dtype"]), _threads(best)]))
    sentence = f"{best['cell']} takes {seconds(best['median'])} for a {what} at {where}"
    winners = [str(best["cell"])]
    if len(rows) > 1:
        ratio, low, high = _between_cells(frames.rows_of(rows)[1], best)
        if low is not None and high is not None and low <= 1 <= high:
            winners.append(str(rows["cell"].iloc[1]))
            sentence += f"; {rows['cell'].iloc[1]} cannot be told apart from it: {times(ratio, low, high)} as long"
        else:
            sentence += f"; the next, {rows['cell'].iloc[1]}, takes {times(ratio, low, high)} as long"
        last = frames.rows_of(rows)[-1]
        if len(rows) > 2:
            sentence += f", the slowest, {last['cell']}, {number(last['median'] / best['median'])}×"
    return Answer("Fastest", listed(winners), f"{sentence}.")


def _between_cells(slower: frames.Row, faster: frames.Row) -> tuple[float, float | None, float | None]:
    """Return the ratio of two cells' times; their samples were taken one cell after the other, not in pairs."""
    if slower["samples"] and faster["samples"]:
        return ratio_of_medians(slower["samples"], faster["samples"])
    return float(slower["median"] / faster["median"]), None, None


def _smallest(memory: frames.Frame, trials: frames.Frame) -> Answer:
    rows = memory_rows(memory).dropna(subset=["total"])
    counts, sizes = parameter_counts(memory, trials)
    fewest = sorted(counts, key=lambda cell: (counts[cell], cell))
    least = [cell for cell in fewest if counts[cell] == counts[fewest[0]]]
    told = f"{listed(least)} {_have(least)} the fewest parameters, {whole(counts[least[0]])} ({sizes})" if least else ""
    if rows.empty:
        if not least:
            return Answer("Smallest", NOT_MEASURED, "Memory was not measured.")
        return Answer("Smallest", listed(least), f"{told}; memory was not measured.")
    winners = standing.first_where(rows, lambda row: row["total"] == rows["total"].iloc[0])
    if told and winners == least:
        told = told.replace(listed(least), "It also" if len(least) == 1 else "They also", 1)
    best = frames.rows_of(rows)[0]
    if pd.notna(best["workspace_bytes"]):
        parts = f"{size(best['workspace_bytes'])} of workspace"
        if pd.notna(best["parameter_bytes"]):
            parts += f" and {size(best['parameter_bytes'])} of parameters"
    else:
        parts = f"{size(best['peak_growth_bytes'])}, the growth of a fresh process"
    sentence = f"{listed(winners)} {'needs' if len(winners) == 1 else 'need'} the least memory to train: {parts} "
    sentence += f"({frames.shape_text(best)})"
    if len(rows) > len(winners):
        after = frames.rows_of(rows)[len(winners)]
        sentence += f"; the next, {after['cell']}, {number(after['total'] / best['total'])}× as much in all"
    return Answer("Smallest", listed(winners), f"{sentence}. {told}." if told else f"{sentence}.")


def _longest(trials: frames.Frame) -> Answer:
    if trials.empty or trials["score"].isna().all():
        return Answer("Remembers longest", NOT_MEASURED, "Long-range tasks were not tried.")
    ranked = standing.ranking(trials)
    lengths, tasks = standing.by_length(trials), standing.memory_tasks(trials)
    top = frames.rows_of(ranked)[0]
    if top["share"] > 0:
        keys, reached = ["share", "rate"], _reaches(lengths, str(top["cell"]), tasks)
        winners = standing.first_where(
            ranked,
            lambda row: all(row[key] == top[key] for key in keys) and _reaches(lengths, row["cell"], tasks) == reached,
        )
        sentence = f"{_name_all(winners)} solved {reached}"
        if len(ranked) > len(winners):
            after = str(ranked["cell"].iloc[len(winners)])
            reached = _reaches(lengths, after, tasks)
            sentence += f"; the next, {after}, {f'solved {reached}' if reached else 'solved none of these'}"
        if top["share"] == 1:
            sentence += ". The longest length tried was solved, so the limit lies beyond it"
        return Answer("Remembers longest", listed(winners), f"{sentence}.")
    best, runs = str(top["cell"]), len(trials[trials["task"].isin(tasks)])
    mine = lengths[(lengths["cell"] == best) & lengths["task"].isin(tasks)]
    chance = f" (chance {number(mine['chance_score'].mean())})" if mine["chance_score"].notna().any() else ""
    mean = f"a mean score of {number(top['score'])}{chance} over {listed(tasks)}"
    if np.isnan(top["share"]):
        sentence = f"{best} has the best result, {mean}; which runs solved a task is not recorded."
        return Answer("Remembers longest", best, sentence)
    sentence = f"No cell solved a task within its budget in {whole(runs)} runs; {best} came closest, with {mean}."
    return Answer("Remembers longest", "none yet", sentence)


def _reaches(lengths: frames.Frame, cell: str, tasks: list[str]) -> str:
    """Return "adding up to T=200 (3 of 3 runs) and copy up to T=60 (2 of 3 runs)", or "" if nothing was solved."""
    phrases = []
    for task in tasks:
        found = standing.reach(lengths[(lengths["cell"] == cell) & (lengths["task"] == task)])
        if found is not None:
            up_to = f" up to T={int(found['length'])}" if pd.notna(found["length"]) else ""
            phrases.append(f"{task}{up_to} ({whole(found['solved'])} of {whole(found['runs'])} runs)")
    return listed(phrases)


def peer_notes(timed: frames.Frame) -> list[str]:
    """Return a sentence for each peer on how often rnnbench was faster, slower or level with it, losses named."""
    held: dict[str, list[tuple[float, float | None, float | None, frames.Row]]] = {}
    for own, other in frames.pairs(timed):
        held.setdefault(str(other["contender"]), []).append((*speed_ratio(other["samples"], own["samples"]), own))
    notes = []
    for peer, ratios in sorted(held.items()):
        slower = [one for one in ratios if (one[0] if one[2] is None else one[2]) < 1]
        faster = [one for one in ratios if (one[0] if one[1] is None else one[1]) > 1]
        level = len(ratios) - len(faster) - len(slower)
        counts = [(len(faster), "faster in"), (len(slower), "slower in"), (level, "level in")]
        told = listed([f"{word} {count}" for count, word in counts if count])
        note = f"Against {peer}, rnnbench is {told} of {len(ratios)} paired comparisons"
        note += " (level: the 95% interval includes 1)" if level else ""
        worst, best = min(ratios, key=lambda one: one[0]), max(ratios, key=lambda one: one[0])
        note += (
            f". Its speed-up is {_case(worst)}"
            if len(ratios) == 1
            else f". Its speed-up goes from {_case(worst)} to {_case(best)}"
        )
        notes.append(f"{note}.")
    return notes


def _case(one: tuple[float, float | None, float | None, frames.Row]) -> str:
    ratio, low, high, own = one
    return f"{times(ratio, low, high)} for {own['cell']}, {own['mode']} at {frames.shape_text(own)}"


def _have(cells: list[str]) -> str:
    return "has" if len(cells) == 1 else "have"


def _name_all(winners: list[str]) -> str:
    return winners[0] if len(winners) == 1 else f"{listed(winners)} tie: each"


def _threads(row: frames.Row) -> str:
    if pd.isna(row["threads"]):
        return ""
    return f"{int(row['threads'])} thread{'s' if row['threads'] > 1 else ''}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def protocol_note(trials: frames.Frame) -> str:
    """Return one sentence on how much evidence the trials are: runs, cells, seeds and those that diverged."""
    if trials.empty or trials["seed"].isna().all():
        return ""
    diverged = int(sum(flag is True for flag in trials["diverged"]))
    told = f"{whole(diverged)} diverged" if diverged else "none diverged"
    share = standing.success(frames.rows_of(trials))
    solved = f"; {percent(share['rate'])} solved their task" if pd.notna(share["rate"]) else ""
    seeds = trials["seed"].nunique()
    return f"{whole(len(trials))} runs over {seeds} seed{'s' if seeds > 1 else ''}, {told}{solved}."
