"""Some rooms share their name with a public function: ``rnnbench.cells`` is a package, ``rnnbench.cells()`` a list."""

import sys
from collections.abc import Callable
from types import ModuleType


def make_callable(module: str, function: Callable[..., object]) -> None:
    """Let the imported package ``module`` be called as ``function``."""

    class Room(ModuleType):
        def __call__(self, *args: object, **kwargs: object) -> object:
            return function(*args, **kwargs)

    sys.modules[module].__class__ = Room
