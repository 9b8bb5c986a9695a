"""How long the parts of a run take: trials from a few timed training steps, the rest from an idle machine's figures."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from rnnbench.cli.budget import Block
from rnnbench.cli.plan import Plan, Timing
from rnnbench.cli.presets import Preset, Sizes
from rnnbench.cli.stages import is_stored
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.trials import Store, Trial
    from rnnbench.trials.cost import Cost

# Seconds on an idle machine of two cores that takes a training step in NOMINAL. A slower or busier one is found to be
# so by its own training steps, and these are scaled by as much.
CONTEST, CONTENDER, MEMORY, COMPILE, FIRST_USE, PROCESSES, REPORT = 6.0, 0.6, 1.5, 9.0, 4.0, 2.5, 20.0
NOMINAL = (2e-4, 1.6e-10)  # seconds of a training step, and per floating-point operation of its forward part
CHECKED = 2e9  # operations a second of what a timing does beside its samples: the reference in float64, warm-up
TRAINING = 3  # forward and backward over forward


class Expected:
    """Expected seconds of a run's parts, on this machine.

    ``preset``: what says how long a timing samples. ``at_a_time``: trials that run at once. ``stored``: keys of trials
    and the timings that need not be done again.
    """

    def __init__(
        self, preset: Preset, at_a_time: int, stored: Iterable[str] = (), stored_timings: Iterable[Timing] = ()
    ):
        self.preset, self.at_a_time = preset, max(1, at_a_time)
        self.stored, self.stored_timings = set(stored), set(stored_timings)
        self.pace = 1.0
        self._measured: list[tuple[Trial, float, Cost]] = []
        self._taken: dict[tuple[Any, ...], list[float]] = {}
        self._used: set[str] = set()

    def measure(self, trials: "Iterable[Trial]") -> None:
        """Time a few training steps of each of ``trials``, to which others are compared."""
        from rnnbench.trials.cost import cost_of

        for trial in trials:
            cost = cost_of(trial)
            self._measured.append((trial, _work(trial), cost))
            self._used.add(trial.cell)
        start, each = NOMINAL
        ratios = [cost.step / (start + each * work) for _, work, cost in self._measured]
        self.pace = max(0.3, sum(ratios) / len(ratios))

    def learn(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take in what trials took: the next seed of the same will take as long."""
        self._taken = {}
        for record in records:
            if record["kind"] == "trial":
                trial = record["trial"]
                place = tuple(trial[name] for name in ("cell", "task", "length", "hidden", "steps"))
                self._taken.setdefault(place, []).append(record["seconds"])
                self.stored.add(record["key"])
                self._used.add(trial["cell"])

    def block(self, block: Block) -> float:
        """Return the seconds of a block of measurements."""
        timings = [timing for timing in block.timings if timing not in self.stored_timings]
        trials = [trial for trial in block.trials if trial.key not in self.stored]
        speed = sum(map(self.timing, timings)) + sum(self.memory(*item) for item in block.memory if timings)
        compiled = COMPILE * self.pace * len(block.compiled)
        new = {one.cell for one in (*timings, *trials)} - self._used
        contests = CONTEST * self.pace * len({timing.contenders for timing in timings}) / 4  # most go on from before
        return speed + contests + compiled + FIRST_USE * self.pace * len(new) + self.trials(trials)

    def trials(self, trials: "Sequence[Trial]") -> float:
        """Return the seconds of trials that are run ``at_a_time``."""
        return sum(map(self.trial, trials)) / self.at_a_time

    def trial(self, trial: "Trial") -> float:
        """Return the seconds of one trial: those of its other seeds, or those of its steps if it uses up its budget."""
        taken = self._taken.get((trial.cell, trial.task, trial.length, trial.hidden, trial.steps))
        if taken:
            return sum(taken) / len(taken)
        work = _work(trial)
        alike = [one for one in self._measured if one[0].cell == trial.cell] or self._measured
        _, there, cost = min(alike, key=lambda one: abs(one[1] - work))
        return cost.of(trial.steps, trial.evaluate_every) * max(work / there, 0.1)

    def timing(self, timing: Timing) -> float:
        """Return the seconds of timing all contenders of one cell at one shape."""
        beside = CONTENDER * len(timing.contenders) + _operations(timing.cell, timing.sizes, timing.mode) / CHECKED
        return self.preset.max_seconds + self.pace * beside

    def memory(self, cell: str, sizes: Sizes) -> float:
        """Return the seconds of one measurement of memory."""
        return self.pace * (MEMORY + _operations(cell, sizes, "training") / CHECKED)

    def stages(
        self,
        timings: Sequence[Timing],
        memory: Sequence[tuple[str, Sizes]],
        compiled: Sequence[str],
        trials: "Sequence[Trial]",
    ) -> dict[str, float]:
        """Return the seconds of each stage of a run, by its name."""
        timings = [timing for timing in timings if timing not in self.stored_timings]
        contests = CONTEST * self.pace * len({timing.contenders for timing in timings})
        return {
            "time": contests + sum(map(self.timing, timings)),
            "memory": sum(self.memory(*item) for item in memory),
            "compile": COMPILE * self.pace * len(compiled),
            "trials": PROCESSES * self.pace + self.trials([trial for trial in trials if trial.key not in self.stored]),
        }

    @property
    def report(self) -> float:
        """Seconds that writing the report takes."""
        return REPORT * self.pace


def expected_stages(plan: Plan, store: "Store", processes: int | None) -> dict[str, float]:
    """Return the seconds of each stage of ``plan`` that ``store`` does not hold yet, after timing a few steps here.

    Nothing is known where there is nothing to train, where a trial cannot run, as it says itself when it begins, and
    on a GPU: a fault there is to end the process of one trial, and not this one.
    """
    from rnnbench.trials.cores import available_cpus

    stored = store.keys()
    missing = [trial for trial in plan.trials if trial.key not in stored]
    if not missing or plan.engine.startswith("cuda"):
        return {}
    expected = Expected(plan.preset, available_cpus() if processes is None else processes, stored)
    try:
        expected.measure(missing[:1])
    except RnnbenchError:
        return {}
    expected.stored_timings = {timing for timing in plan.timings if is_stored(timing, plan.preset, store)}
    return expected.stages(plan.timings, plan.memory, plan.compiled, plan.trials)


def _operations(cell: str, sizes: Sizes, mode: str) -> float:
    from rnnbench.cells import get_cell

    T, B, I, H = sizes  # noqa: E741 - the legend's letters
    forward = T * B * get_cell(cell).flops_per_step(I, H, pointwise=True)
    return forward * (TRAINING if mode == "training" else 1)


def _work(trial: "Trial") -> float:
    """Return the floating-point operations of the forward part of a training step; controls count as a tanh RNN."""
    from rnnbench.trials.controls import CONTROLS

    steps, size = _task_sizes(trial.task, trial.length)
    cell = "elman_tanh" if trial.cell in CONTROLS else trial.cell
    return trial.layers * _operations(cell, (steps, trial.batch, size, trial.hidden), "forward")


@cache
def _task_sizes(task: str, length: int | None) -> tuple[int, int]:
    from rnnbench.tasks import get_task

    found = get_task(task, length)
    return found.longest, found.input_size
