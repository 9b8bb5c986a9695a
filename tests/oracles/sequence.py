"""The time loop that all oracles share: step after step, nothing hoisted, nothing saved."""

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def run(
    step: Callable[..., tuple[np.ndarray, ...]], states: tuple[str, ...], params: Arrays, x: np.ndarray, state: Arrays
) -> tuple[np.ndarray, Arrays]:
    """Apply ``step(params, x_t, *states) -> new states`` over T; the first state is the output."""
    now = tuple(state[name] for name in states)
    outputs = []
    for x_t in x:
        now = step(params, x_t, *now)
        outputs.append(now[0])
    return np.stack(outputs), dict(zip(states, now, strict=True))
