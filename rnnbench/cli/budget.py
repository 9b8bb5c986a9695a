"""What fits a time: blocks of measurements in order of value, taken in while the time lasts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from rnnbench.cli.plan import MODES, Plan, Timing, contenders, make_plan
from rnnbench.cli.presets import DEFAULT, FULL, QUICK, Preset, Sizes
from rnnbench.errors import RnnbenchError

if TYPE_CHECKING:
    from rnnbench.trials import Trial

CORE_SHARE = 0.25
"""The first blocks may take this share of the time at most: else a preset with smaller networks is chosen."""
SEEDS = 3
"""Seeds of a comparison before anything is added to it; more come last."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_in(text: str) -> float:
    """Return the seconds of a duration such as "90s", "10m" or "8h"; RnnbenchError for any other text."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal() and float(number) > 0:
        return float(number) * _UNITS[unit]
    raise RnnbenchError(f"--budget takes a time such as 90s, 10m or 8h, got {text!r}")


@dataclass(frozen=True)
class Block:
    """Measurements that are taken in together or left out together.

    ``kind``, ``what``: what a reader misses without them, such as "length" and "adding at T=160".
    """

    kind: str
    what: str
    timings: tuple[Timing, ...] = ()
    memory: tuple[tuple[str, Sizes], ...] = ()
    compiled: tuple[str, ...] = ()
    trials: "tuple[Trial, ...]" = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.timings or self.memory or self.compiled or self.trials)


@dataclass(frozen=True)
class Fit:
    """Blocks that fit a time, those that do not, and the seconds that the first are expected to take."""

    chosen: tuple[Block, ...]
    left: tuple[Block, ...]
    seconds: float


Cost = Callable[[Block], float]


def fit(blocks: Iterable[Block], seconds: float, cost: Cost) -> Fit:
    """Take in the blocks that fit ``seconds`` in their order; one that does not is passed over for smaller ones.

    ``cost``: block -> seconds. A length that is left out is left out of all later blocks as well: further seeds and
    cells add to what is there.
    """
    chosen: list[Block] = []
    left: list[Block] = []
    closed: set[tuple[str, int | None]] = set()
    taken = 0.0
    for whole in blocks:
        block = replace(whole, trials=tuple(one for one in whole.trials if (one.task, one.length) not in closed))
        if block.empty:
            continue
        needs = cost(block)
        if taken + needs <= seconds:
            chosen.append(block)
            taken += needs
            continue
        left.append(block)
        if block.kind == "length":
            closed |= {(trial.task, trial.length) for trial in block.trials}
    return Fit(tuple(chosen), tuple(left), taken)


def fitting_preset(
    seconds: float, cost: Cost, cells: Sequence[str] = (), tasks: Sequence[str] = (), engine: str = "cpu"
) -> Preset:
    """Return the largest preset whose first blocks take no more than their share of ``seconds``; else the smallest.

    Its cells, tasks and seeds are extended to all that may be worth their time; the quick run's cells come first.
    """
    for preset in (FULL, DEFAULT):
        # The first blocks alone: a whole plan of the largest preset has thousands of trials.
        plan = make_plan(
            _extended(preset), (cells or QUICK.cells or ())[:3], (tasks or preset.tasks)[:1], engine=engine
        )
        if sum(map(cost, core(plan))) <= CORE_SHARE * seconds:
            return _extended(preset)
    return _extended(QUICK)


def _extended(preset: Preset) -> Preset:
    from rnnbench.cells import cells

    every = cells() if preset.cells is None else ()
    return replace(
        preset,
        cells=tuple(dict.fromkeys((*(QUICK.cells or ()), *(DEFAULT.cells or ()), *every))),
        tasks=tuple(dict.fromkeys((*preset.tasks, *DEFAULT.tasks))),
        seeds=FULL.seeds,
    )


def core(plan: Plan) -> list[Block]:
    """Return the first blocks of ``plan``: its first three cells' speed, and the first task's lengths with one seed."""
    first, task = plan.cells[:3], plan.tasks[0]
    blocks = [_speed(plan, first, plan.preset.shapes[:1], "speed", " ".join(first))]
    for length in _lengths(plan, task):
        blocks.append(_training(plan, first, [(task, length)], [0], "length", f"{task} at T={length}"))
    return blocks


def in_order_of_value(plan: Plan) -> Iterator[Block]:
    """Yield all of ``plan`` in blocks, the most valuable first.

    Three cells and one task, each length, then seeds, a second task, other shapes; then each further cell with the
    same; then each further task for all; then more seeds.
    """
    first, others = plan.cells[:3], plan.cells[3:]
    tasks, seeds = plan.tasks[:2], range(min(SEEDS, plan.preset.seeds))
    yield from core(plan)
    for seed in seeds[1:]:
        yield _training(plan, first, _places(plan, tasks[:1]), [seed], "seed", f"seed {seed}")
    for task in tasks[1:]:
        for length in _lengths(plan, task):
            yield _training(plan, first, [(task, length)], seeds, "length", f"{task} at T={length}")
    compiled = tuple(cell for cell in first[:1] if cell in plan.recurrent)
    yield Block("compile time", " ".join(compiled), compiled=compiled)
    for sizes in plan.preset.shapes[1:]:
        yield _speed(plan, first, (sizes,), "shape", "×".join(map(str, sizes)))
    for cell in others:
        speed = _speed(plan, (cell,), plan.preset.shapes[:1], "cell", cell)
        trained = _training(plan, (cell,), _places(plan, tasks), seeds, "cell", cell)
        yield replace(speed, trials=trained.trials)
    for task in plan.tasks[2:]:
        for length in _lengths(plan, task):
            yield _training(plan, plan.cells, [(task, length)], seeds, "length", f"{task} at T={length}")
    for sizes in plan.preset.shapes[1:]:
        yield _speed(plan, others, (sizes,), "further cells' shape", "×".join(map(str, sizes)))
    for seed in range(len(seeds), plan.preset.seeds):
        yield _training(plan, plan.cells, _places(plan, plan.tasks), [seed], "seed", f"seed {seed}")


def plan_with(plan: Plan, blocks: Sequence[Block], name: str) -> Plan:
    """Return ``plan`` cut down to what is in ``blocks``."""
    timings = {timing for block in blocks for timing in block.timings}
    memory = {item for block in blocks for item in block.memory}
    trials = {trial.key for block in blocks for trial in block.trials}
    compiled = [cell for block in blocks for cell in block.compiled]
    kept = tuple(trial for trial in plan.trials if trial.key in trials)
    cells = {timing.cell for timing in timings} | {trial.cell for trial in kept} | set(compiled)
    tasks = {trial.task for trial in kept}
    return replace(
        plan,
        preset=replace(plan.preset, name=name, compiled=len(compiled)),
        cells=tuple(cell for cell in plan.cells if cell in cells),
        controls=tuple(cell for cell in plan.controls if cell in cells),
        tasks=tuple(task for task in plan.tasks if task in tasks),
        # Those with the same contenders together: their processes are then started once.
        timings=tuple(timing for timing in plan.timings if timing in timings),
        memory=tuple(item for item in plan.memory if item in memory),
        trials=kept,
    )


def told(blocks: Iterable[Block]) -> list[str]:
    """Return one line for each kind of thing that was left out, with what they are."""
    by_kind: dict[str, dict[str, None]] = {}
    for block in blocks:
        by_kind.setdefault(block.kind, {})[block.what] = None
    return [f"{kind}s: {', '.join(names)}" for kind, names in by_kind.items()]


def _speed(plan: Plan, cells: Sequence[str], shapes: Sequence[Sizes], kind: str, what: str) -> Block:
    recurrent = [cell for cell in cells if cell in plan.recurrent]
    timings = [
        Timing(cell, sizes, mode, contenders(cell, mode, plan.engine))
        for mode, sizes, cell in product(MODES, shapes, recurrent)
    ]
    memory = [(cell, sizes) for sizes, cell in product(shapes, recurrent) if sizes in plan.preset.memory]
    return Block(kind, what, timings=tuple(timings), memory=tuple(memory))


def _training(
    plan: Plan,
    cells: Iterable[str],
    places: Iterable[tuple[str, int | None]],
    seeds: Iterable[int],
    kind: str,
    what: str,
) -> Block:
    wanted = set(product(cells, places, seeds))
    trials = (trial for trial in plan.trials if (trial.cell, (trial.task, trial.length), trial.seed) in wanted)
    return Block(kind, what, trials=tuple(trials))


def _places(plan: Plan, tasks: Iterable[str]) -> list[tuple[str, int | None]]:
    return [(task, length) for task in tasks for length in _lengths(plan, task)]


def _lengths(plan: Plan, task: str) -> list[int | None]:
    return list(dict.fromkeys(trial.length for trial in plan.trials if trial.task == task))
