"""What a run will measure: a preset narrowed to what the caller asked for, checked before anything starts."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rnnbench.cli.presets import DEFAULT, FULL, PEERS, QUICK, Preset, Sizes
from rnnbench.errors import RnnbenchError, positive

if TYPE_CHECKING:
    from rnnbench.trials import Trial

MODES = ("forward", "training")
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """One cell at one shape in one mode, timed for these contenders in turn."""

    cell: str
    sizes: Sizes
    mode: str
    contenders: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that one run measures, in the order in which it does.

    ``controls``: those of ``cells`` that are none: they are trained, and nothing else of them is measured.
    """

    preset: Preset
    engine: str
    cells: tuple[str, ...]
    controls: tuple[str, ...]
    tasks: tuple[str, ...]
    timings: tuple[Timing, ...]
    memory: tuple[tuple[str, Sizes], ...]
    trials: "tuple[Trial, ...]"

    @property
    def recurrent(self) -> tuple[str, ...]:
        """The cells without the controls."""
        return tuple(cell for cell in self.cells if cell not in self.controls)

    @property
    def compiled(self) -> tuple[str, ...]:
        """The cells whose compilation is timed."""
        return self.recurrent[: self.preset.compiled]

    def __str__(self) -> str:
        return (
            f"{self.preset.name} run on engine {self.engine}: {counted(len(self.cells), 'cell')}, "
            f"{counted(len(self.timings), 'timing')}, {counted(len(self.memory), 'memory measurement')}, "
            f"{counted(len(self.trials), 'trial')}"
        )


def choose_preset(quick: bool, full: bool) -> Preset:
    """Return the preset that two exclusive options name."""
    if quick and full:
        raise RnnbenchError("--quick and --full exclude each other; give one of them, or neither for the default run")
    return QUICK if quick else FULL if full else DEFAULT


def make_plan(
    preset: Preset,
    cells: Sequence[str] = (),
    tasks: Sequence[str] = (),
    window: int | None = None,
    engine: str = "cpu",
    seed: int = 0,
) -> Plan:
    """Return the plan for ``preset``, restricted to ``cells``, controls among them, and ``tasks`` where they are given.

    ``window``: how many past values a forecast sees; ``seed``: the first of the trials' seeds. Raises RnnbenchError for
    an unknown cell, task or engine, for an engine that cannot run here, for data that cannot be read and for a window
    without a forecast.
    """
    from rnnbench.cells import cells as all_cells
    from rnnbench.cells import get_cell
    from rnnbench.engines import get_engine
    from rnnbench.trials.controls import CONTROLS

    get_engine(engine)
    chosen_cells = _each_once(cells) or preset.cells or tuple(all_cells())
    recurrent = tuple(cell for cell in chosen_cells if cell not in CONTROLS)
    for cell in recurrent:
        get_cell(cell).trace()  # equations that cannot be read are found here, and not in a worker
    chosen_tasks = _each_once(tasks) or preset.tasks
    return Plan(
        preset=preset,
        engine=engine,
        cells=chosen_cells,
        controls=tuple(cell for cell in chosen_cells if cell in CONTROLS),
        tasks=chosen_tasks,
        timings=_timings(preset, recurrent, engine),
        memory=tuple((cell, sizes) for sizes in preset.memory for cell in recurrent),
        trials=_trials(preset, chosen_cells, chosen_tasks, window, engine, seed),
    )


def _timings(preset: Preset, cells: Iterable[str], engine: str) -> tuple[Timing, ...]:
    """Return the timings, those with the same contenders together: their processes are then started once."""
    timings = [
        Timing(cell, sizes, mode, contenders(cell, mode, engine))
        for mode in MODES
        for sizes in preset.shapes
        for cell in cells
    ]
    groups = _each_once(timing.contenders for timing in timings)
    return tuple(sorted(timings, key=lambda timing: groups.index(timing.contenders)))


def contenders(cell: str, mode: str, engine: str) -> tuple[str, ...]:
    """Return who takes part in timing ``cell``: the engine, and those of PEERS that are installed and have the cell."""
    from rnnbench.peers import get_peer, peers

    able = [
        name
        for name, reason in peers().items()
        if name in PEERS and reason is None and get_peer(name).supports(cell, training=mode == "training") is None
    ]
    return (f"rnnbench.{engine}", *able)


def _trials(
    preset: Preset, cells: tuple[str, ...], tasks: tuple[str, ...], window: int | None, engine: str, seed: int
) -> "tuple[Trial, ...]":
    """Return the trials, one seed of everything before the next seed: a run cut short can be compared already."""
    from rnnbench.tasks import get_task
    from rnnbench.trials import Sweep

    if window is not None and not any(stem(task) == "forecast" for task in tasks):
        raise RnnbenchError("--window needs a forecast among the tasks, as in --task forecast:prices.csv:close")
    trials = []
    for task in tasks:
        lengths = preset.lengths.get(stem(task), ())
        if stem(task) == "forecast" and window is not None:
            lengths = (positive("--window", window),)
        for length in lengths or (None,):
            get_task(task, length)
        sweep = Sweep(
            cells=cells,
            tasks=(task,),
            lengths=lengths,
            seeds=tuple(range(seed, seed + preset.seeds)),
            settings={"engine": engine, **preset.training},
        )
        trials += sweep.trials()
    return tuple(sorted(trials, key=lambda trial: trial.seed))


def stem(task: str) -> str:
    """Return a task's name without its arguments: "forecast:prices.csv:close" -> "forecast"."""
    return task.partition(":")[0]


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """Return the names in option values that may each hold several, separated by commas."""
    return tuple(name for value in values for name in (part.strip() for part in value.split(",")) if name)


def counted(number: int, what: str) -> str:
    """Return "1 cell" or "2 cells"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _each_once(items: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(items))
