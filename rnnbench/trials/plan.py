"""A sweep's plan: cells x tasks x lengths x seeds, how sizes are matched, and how learning rates are searched for."""

import tomllib
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rnnbench.errors import RnnbenchError, unknown
from rnnbench.tasks import task_class
from rnnbench.trials.trial import Trial, sentence

LEARNING_RATE = "learning_rate"
_OF_THE_GRID = ("cell", "task", "length", "seed", "purpose")


class Place(NamedTuple):
    """One cell (or control) on one task at one length T: what seeds are repeated at."""

    cell: str
    task: str
    length: int

    def __str__(self) -> str:
        return f"{self.cell} on {self.task} at T={self.length}"


def _counted(seeds: Any) -> Any:
    """Return 0, 1, ... where a number of seeds is given."""
    return range(seeds) if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds


Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_counted), Field(min_length=1)]


class Search(BaseModel):
    """How a learning rate is chosen for each cell on each task: the same budget for all.

    ``trials``: rates that are tried, in ``rounds`` of equally many, the first of which spans the range evenly.
    ``steps``: budget of each in optimiser steps (None: that of the sweep's trials). ``low``, ``high``: the range.
    ``seeds``: of the search, none of them a seed of the sweep. ``length``: where it is done, at the "shortest",
    "median" or "longest" length of a task for all of them, or at "each" for itself. The median is the default: a rate
    that fits it is within reach of the best for its neighbours, at a third of the cost of "each"; the shortest would
    favour cells that take large rates, which long sequences do not forgive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int = Field(default=9, ge=2)
    rounds: int = Field(default=3, ge=1)
    steps: int | None = Field(default=None, ge=1)
    low: float = Field(default=1e-4, gt=0)
    high: float = Field(default=3e-2, gt=0)
    seeds: Seeds = (1000,)
    length: Literal["shortest", "median", "longest", "each"] = "median"


class Plan(BaseModel):
    """What a sweep trains, read from a TOML file (docs/sweep.md has every field).

    ``cells``: cells and controls. ``tasks``: names. ``lengths``: T, the same list for every task that has no fixed one,
    or one list by task (none: a task's default). ``seeds``: a list, or how many, counted from 0.
    ``match``: what cells have in common, "hidden" size, number of "parameters", "state" size or "wall-clock" time of a
    training step; what has to be met is the ``reference`` cell's at the hidden size in ``settings``, within
    ``tolerance`` of it. ``settings``: other fields of Trial, for all; ``task`` and ``cell``: for one task or cell, on
    top of these. ``search``: the search for learning rates (None: all train with that of ``settings``).
    ``output``: folder of the results.

    Raises RnnbenchError, naming the field, for what cannot be: everything is checked before anything starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cells: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    lengths: tuple[int, ...] | dict[str, tuple[int, ...]] = ()
    seeds: Seeds = (0, 1, 2, 3, 4)
    match: Literal["hidden", "parameters", "state", "wall-clock"] = "hidden"
    reference: str = "lstm"
    tolerance: float = Field(default=0.1, gt=0, lt=1)
    settings: dict[str, Any] = {}
    task: dict[str, dict[str, Any]] = {}
    cell: dict[str, dict[str, Any]] = {}
    search: Search | None = None
    output: str | None = None

    if not TYPE_CHECKING:  # type checkers then see pydantic's signature, with the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                known = (*Plan.model_fields, *(f"search.{name}" for name in Search.model_fields))
                raise sentence(error, "plan", known) from None
            self._check()

    def places(self) -> list[Place]:
        """Return every cell on every task at every length, tasks and lengths in the plan's order."""
        return [
            Place(cell, task, length) for task in self.tasks for length in self.lengths_of(task) for cell in self.cells
        ]

    def lengths_of(self, task: str) -> list[int]:
        """Return the lengths of a task as they were given; a default or fixed length as the number that it is."""
        if isinstance(self.lengths, Mapping):
            given: tuple[int | None, ...] = self.lengths.get(task, ())
        else:
            given = () if task_class(task).fixed_length else self.lengths
        made = [self._trial(self.cells[0], task, length).length for length in given or (None,)]
        return [length for length in made if length is not None]

    def middle_length(self, task: str) -> int:
        """Return the median length of a task, of an even number the lower of the two in the middle."""
        lengths = sorted(self.lengths_of(task))
        return lengths[(len(lengths) - 1) // 2]

    def trial(self, place: Place, **fields: Any) -> Trial:
        """Return the trial at a place with the plan's settings; ``fields`` of Trial stand over them."""
        return self._trial(*place, **fields)

    def trials(
        self, hidden: Mapping[Place, int], rates: Mapping[Place, float], without: Collection[Place] = ()
    ) -> list[Trial]:
        """Return the trials to report, one seed of everything before the next: a sweep cut short can be compared.

        ``hidden``: H where it is not that of the settings. ``rates``: the learning rate where one was searched for.
        ``without``: places that are left out.
        """
        found = {
            place: ({"hidden": hidden[place]} if place in hidden else {})
            | ({LEARNING_RATE: rates[place]} if place in rates else {})
            for place in self.places()
            if place not in without
        }
        return [self.trial(place, seed=seed, **fields) for seed in self.seeds for place, fields in found.items()]

    def _trial(self, cell: str, task: str, length: int | None, **fields: Any) -> Trial:
        settings = self.settings | self.task.get(task, {}) | self.cell.get(cell, {})
        return Trial(**(settings | {"cell": cell, "task": task, "length": length} | fields))

    def _check(self) -> None:
        for name in ("cells", "tasks", "seeds"):
            given = getattr(self, name)
            twice = next((item for item in given if given.count(item) > 1), None)
            if twice is not None:
                raise RnnbenchError(f"{name} names {twice!r} twice")
        for name, known in (("task", self.tasks), ("cell", self.cells)):
            for one in getattr(self, name):
                if one not in known:
                    raise unknown(f"{name} in [{name}]", one, known)
        if isinstance(self.lengths, Mapping):
            for task in self.lengths:
                if task not in self.tasks:
                    raise unknown("task in lengths", task, self.tasks)
        for where, settings in self._all_settings():
            self._check_settings(where, settings)
        if self.search is not None:
            self._check_search(self.search)
        for place in self.places():
            self.trial(place)
            if self.search is not None and self.search.steps is not None:
                self.trial(place, steps=self.search.steps)
        if self.match != "hidden":
            for task in self.tasks:
                self._trial(self.reference, task, self.middle_length(task))

    def _all_settings(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [
            ("settings", self.settings),
            *((f"task.{name}", settings) for name, settings in self.task.items()),
            *((f"cell.{name}", settings) for name, settings in self.cell.items()),
        ]

    def _check_settings(self, where: str, settings: Mapping[str, Any]) -> None:
        for name in settings:
            if name in _OF_THE_GRID:
                raise RnnbenchError(f"{where} cannot hold {name!r}: the plan's own fields say it")
            if name == "hidden" and where.startswith("cell."):
                raise RnnbenchError(f"{where} cannot hold 'hidden': how cells get their size is what match says")
            if name == LEARNING_RATE and self.search is not None:
                raise RnnbenchError(f"{where} has a learning_rate, but [search] looks for one: leave one of them out")

    def _check_search(self, search: Search) -> None:
        if search.low >= search.high:
            raise RnnbenchError(f"search.low must be below search.high, got {search.low:g} and {search.high:g}")
        if search.rounds > search.trials:
            raise RnnbenchError(f"search.rounds must be at most search.trials={search.trials}, got {search.rounds}")
        both = sorted(set(search.seeds) & set(self.seeds))
        if both:
            raise RnnbenchError(
                f"search.seeds and seeds share {both[0]}: a rate chosen on a seed that is reported would flatter itself"
            )


def read_plan(path: str | Path) -> Plan:
    """Return the plan in a TOML file; an RnnbenchError names the file and the field that is wrong."""
    return parse_plan(plan_text(path), str(path))


def plan_text(path: str | Path) -> str:
    """Return the text of a plan file, or raise RnnbenchError for one that cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RnnbenchError(f"cannot read plan {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise RnnbenchError(f"plan {path} is not a text in UTF-8: {error.reason}") from error


def parse_plan(text: str, origin: str) -> Plan:
    """Return the plan in a TOML text; errors name ``origin``."""
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RnnbenchError(f"plan {origin} is not TOML: {error}") from error
    try:
        return Plan(**fields)
    except RnnbenchError as error:
        raise RnnbenchError(f"plan {origin}: {error}") from error


def presets() -> list[str]:
    """Return the names of the plans that come with the package, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in _presets().iterdir() if file.name.endswith(".toml"))


def preset_text(name: str) -> str:
    """Return the TOML text of a plan that comes with the package; RnnbenchError names those there are."""
    if name not in presets():
        raise unknown("preset of a sweep", name, presets())
    return (_presets() / f"{name}.toml").read_text(encoding="utf-8")


def _presets() -> Any:
    return resources.files("rnnbench.trials") / "presets"
