"""Grids of trials."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rnnbench.errors import RnnbenchError
from rnnbench.tasks import task_class
from rnnbench.trials.trial import Trial, sentence


class Sweep(BaseModel):
    """Every combination of cells, tasks, lengths and seeds.

    ``cells``, ``tasks``: names. ``lengths``: T of each task that has no fixed one (none: its default).
    ``seeds``: five by default. ``settings``: other fields of Trial, the same for all (hidden, steps, ...).
    Raises RnnbenchError for an unknown field, here or in ``settings``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: tuple[str, ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    lengths: tuple[int, ...] = ()
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    settings: dict[str, Any] = {}

    if not TYPE_CHECKING:  # type checkers then see pydantic's signature, with the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise sentence(error, "sweep", tuple(Sweep.model_fields)) from None
            taken = [name for name in ("cell", "task", "length", "seed") if name in self.settings]
            if taken:
                raise RnnbenchError(f"settings of a sweep cannot hold {taken[0]!r}: the sweep's {taken[0]}s say it")

    def trials(self) -> list[Trial]:
        """Return the trials, one seed of everything before the next seed: a run cut short can be compared already."""
        return [
            Trial(**(self.settings | {"cell": cell, "task": task, "length": length, "seed": seed}))
            for seed in self.seeds
            for task in self.tasks
            for length in ((None,) if task_class(task).fixed_length else self.lengths or (None,))
            for cell in self.cells
        ]
