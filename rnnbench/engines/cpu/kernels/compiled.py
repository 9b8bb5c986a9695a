"""How functions of this folder are compiled: on first use, and from Numba's cache ever after."""

from functools import cached_property

from numba import cfunc, njit, types


def body(function):
    """Compile straight-line arithmetic to be inlined wherever it is called."""
    return njit(function, error_model="numpy", forceinline=True)


class Compiled:
    """A function of int64 arguments without result, known by its address."""

    def __init__(self, function, arguments: int) -> None:
        self.function, self.arguments = function, arguments

    @cached_property
    def callback(self):
        """The compiled C function."""
        signature = types.void(*[types.int64] * self.arguments)
        return cfunc(signature, cache=True, error_model="numpy")(self.function)

    @property
    def address(self) -> int:
        """Where the machine code is; compiles it on first use."""
        return self.callback.address


def kernel(function) -> Compiled:
    """Mark a function to be compiled when its address is first asked for."""
    return Compiled(function, function.__code__.co_argcount)
