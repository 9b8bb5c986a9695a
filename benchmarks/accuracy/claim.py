"""A published result that is judged by trials."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.judge import Rule, solved_of, spread
from benchmarks.accuracy.row import Row
from rnnbench.report.quantities import whole
from rnnbench.trials import Result, Store, Trial

LETTERS = {
    "length": "T", "hidden": "H", "layers": "layers", "batch": "batch", "steps": "steps", "learning_rate": "rate",
    "optimizer": "optimizer", "clip": "clipping at", "init": "init", "hyper": "hyper", "task_options": "options",
    "residual": "residual", "patience": "patience", "schedule": "schedule",
}  # fmt: skip
ALWAYS = ("length", "hidden", "batch", "steps", "learning_rate", "clip")


@dataclass(frozen=True)
class Claim:
    """One row: what was published, the arms that are trained here, and the rules that judge them.

    ``settings``: the fields of Trial that all arms share. ``arms``: name -> the arm's own fields; a name alone is a
    cell. ``seeds``: how many, from 0 on; what works was looked for with seeds from 100 on. ``remark``: what differs
    from the paper.
    """

    name: str
    claim: str
    source: str
    settings: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    rules: Sequence[Rule]
    seeds: int = 3
    remark: str = ""

    def trials(self, seeds: int | None = None) -> list[Trial]:
        """Return the trials, one seed of every arm before the next seed."""
        return [self._trial(arm, seed) for seed in range(seeds or self.seeds) for arm in self.arms]

    def row(self, store: Store, seeds: int | None = None) -> Row:
        """Return the row from what the store holds; it is judged once all its trials are there."""
        count = seeds or self.seeds
        runs: dict[str, list[Result]] = {}
        for arm in self.arms:
            records = [store.get(self._trial(arm, seed).key) for seed in range(count)]
            runs[arm] = [Result.from_record(record) for record in records if record is not None]
        done, wanted = sum(map(len, runs.values())), count * len(self.arms)
        return Row(
            name=self.name,
            claim=self.claim,
            source=self.source,
            protocol=self._protocol(count),
            findings=[(rule, rule.judge(runs)) for rule in self.rules] if done == wanted else [],
            headings=("arm", "parameters", "solved (95% interval)", "median score (range)", "median loss (range)",
                      "median steps to solve", "diverged"),
            entries=[_entry(arm, held) for arm, held in runs.items() if held],
            missing="" if done == wanted else f"{done} of {wanted} trials have run",
            note=self.remark,
            data={arm: [_plain(run) for run in held] for arm, held in runs.items()},
        )  # fmt: skip

    def _trial(self, arm: str, seed: int) -> Trial:
        fields: dict[str, Any] = {"cell": arm, **self.settings, **self.arms[arm], "seed": seed}
        return Trial(**fields)

    def _protocol(self, seeds: int) -> str:
        """Return the settings in words: those that all arms share, then what sets each arm apart."""
        made = {arm: self._trial(arm, 0).model_dump() for arm in self.arms}
        shown = [
            name
            for name in LETTERS
            if name in ALWAYS or any(one[name] != Trial.model_fields[name].default for one in made.values())
        ]
        shared = [name for name in shown if len({json.dumps(one[name]) for one in made.values()}) == 1]
        first = next(iter(made.values()))
        said = ", ".join([first["task"], *(_said(name, first[name]) for name in shared), f"{seeds} seeds"])
        apart = []
        for arm, one in made.items():
            own = [_said(name, one[name]) for name in shown if name not in shared]
            cell = [] if arm == one["cell"] else [one["cell"]]
            if cell or own:
                apart.append(f"{arm}: {', '.join(cell + own)}")
        return f"{said}. {'; '.join(apart)}." if apart else f"{said}."


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        value = " ".join(f"{key}={one}" for key, one in value.items()) or "none"
    if name in ("steps", "clip", "optimizer", "schedule", "init", "hyper", "task_options", "residual", "patience"):
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        return f"at most {text} steps" if name == "steps" else f"{LETTERS[name]} {text}"
    return f"{LETTERS[name]}={value:g}" if name == "learning_rate" else f"{LETTERS[name]}={value}"


def _entry(arm: str, runs: Sequence[Result]) -> list[str]:
    steps = [run.steps_to_solve for run in runs if run.steps_to_solve is not None]
    return [
        arm,
        whole(runs[0].params),
        solved_of(runs),
        spread([run.score for run in runs]),
        spread([run.loss for run in runs]),
        whole(statistics.median(steps)) if steps else "—",
        whole(sum(run.diverged for run in runs)),
    ]


def _plain(run: Result) -> dict[str, Any]:
    """Return a run's numbers without its times, which say something on the machine's load alone."""
    return {
        "trial": run.trial.model_dump(),
        "key": run.key,
        "params": run.params,
        "score": run.score,
        "loss": run.loss if math.isfinite(run.loss) else None,
        "chance": run.chance,
        "chance_of": run.chance_of,
        "solved": run.solved,
        "steps": run.steps,
        "steps_to_solve": run.steps_to_solve,
        "diverged": run.diverged,
        "clipped": run.clipped,
    }
