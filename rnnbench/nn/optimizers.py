"""First-order optimisers that change parameter arrays in place.

All keep their moments for all parameters in one flat buffer, so that a step on a small model costs a handful of
array operations however many parameter arrays there are.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from rnnbench.errors import RnnbenchError


class _Flat:
    """Parameters of one dtype beside flat buffers with one slot for each of their numbers."""

    def __init__(self, params: Mapping[str, np.ndarray], learning_rate: float):
        if not params:
            raise RnnbenchError("params must hold at least one array, got none")
        dtypes = sorted({str(array.dtype) for array in params.values()})
        if len(dtypes) > 1:
            raise RnnbenchError(f"params must have one dtype, got {', '.join(dtypes)}")
        _above_zero("learning_rate", learning_rate)
        self.params = params
        self.learning_rate = learning_rate
        self._size = sum(array.size for array in params.values())
        self._dtype = np.dtype(dtypes[0])
        self._gradient, gradient_parts = self._buffer()
        self._update, update_parts = self._buffer()
        # Views, made once: name, the parameter itself, its slots in the flat gradient and in the flat update.
        self._parts = list(zip(params, params.values(), gradient_parts, update_parts, strict=True))

    def _buffer(self) -> tuple[np.ndarray, list[np.ndarray]]:
        flat = np.zeros(self._size, self._dtype)
        ends = np.cumsum([array.size for array in self.params.values()])
        pieces = np.split(flat, ends[:-1])
        return flat, [piece.reshape(array.shape) for piece, array in zip(pieces, self.params.values(), strict=True)]

    def _gather(self, grads: Mapping[str, np.ndarray]) -> np.ndarray:
        """Copy the gradients into their slots; entries that belong to no parameter ("x", states) are left out."""
        for name, array, slot, _ in self._parts:
            gradient = grads.get(name)
            if gradient is None:
                raise RnnbenchError(f"grads has no entry for parameter {name!r}")
            if gradient.shape != array.shape:
                raise RnnbenchError(f"grads[{name!r}] must have shape {array.shape}, got {gradient.shape}")
            slot[...] = gradient
        return self._gradient

    def _apply(self) -> None:
        for _, array, _, update in self._parts:
            array -= update


class SGD(_Flat):
    """Gradient descent with optional heavy-ball momentum: v = momentum v + g, p = p - learning_rate v.

    ``params``: name -> array, changed in place by ``step``. Polyak 1964, doi:10.1016/0041-5553(64)90137-5.
    """

    def __init__(self, params: Mapping[str, np.ndarray], learning_rate: float, momentum: float = 0.0):
        super().__init__(params, learning_rate)
        _share("momentum", momentum)
        self.momentum = momentum
        self._velocity = np.zeros(self._size, self._dtype)

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Move every parameter against its gradient; ``grads`` is shaped like the parameters."""
        gradient = self._gather(grads)
        if self.momentum:
            self._velocity *= self.momentum
            self._velocity += gradient
            gradient = self._velocity
        np.multiply(gradient, self.learning_rate, out=self._update)
        self._apply()


class Adam(_Flat):
    """Adam with bias-corrected moments.

    ``params``: name -> array, changed in place by ``step``. Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        super().__init__(params, learning_rate)
        _share("beta1", beta1)
        _share("beta2", beta2)
        _above_zero("epsilon", epsilon)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.steps = 0
        self._mean = np.zeros(self._size, self._dtype)
        self._square = np.zeros(self._size, self._dtype)

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Move every parameter once; ``grads`` is shaped like the parameters."""
        gradient, update = self._gather(grads), self._update
        self.steps += 1
        self._mean *= self.beta1
        np.multiply(gradient, 1 - self.beta1, out=update)
        self._mean += update
        self._square *= self.beta2
        gradient *= gradient
        gradient *= 1 - self.beta2
        self._square += gradient
        denominator = np.sqrt(self._square, out=gradient)
        denominator *= 1 / math.sqrt(1 - self.beta2**self.steps)
        denominator += self.epsilon
        np.divide(self._mean, denominator, out=update)
        update *= self.learning_rate / (1 - self.beta1**self.steps)
        self._apply()


class AdamW(Adam):
    """Adam whose weights also shrink by learning_rate weight_decay of themselves a step, apart from the gradient.

    Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; every parameter decays, biases too.
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, learning_rate, beta1, beta2, epsilon)
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise RnnbenchError(f"weight_decay must be a finite number of at least 0, got {weight_decay!r}")
        self.weight_decay = weight_decay

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Move every parameter once; ``grads`` is shaped like the parameters."""
        self._gather(grads)  # a gradient that does not fit is refused before anything changes
        for array in self.params.values():
            array *= 1 - self.learning_rate * self.weight_decay
        super().step(grads)


class RMSprop(_Flat):
    """Gradients divided by the root of their running mean square, with optional momentum on the quotient.

    ``params``: name -> array, changed in place by ``step``. Tieleman & Hinton 2012, Lecture 6.5 of Neural networks for
    machine learning; epsilon is added to the root.
    """

    def __init__(
        self,
        params: Mapping[str, np.ndarray],
        learning_rate: float = 1e-3,
        decay: float = 0.99,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
    ):
        super().__init__(params, learning_rate)
        _share("decay", decay)
        _share("momentum", momentum)
        _above_zero("epsilon", epsilon)
        self.decay, self.momentum, self.epsilon = decay, momentum, epsilon
        self._square = np.zeros(self._size, self._dtype)
        self._velocity = np.zeros(self._size, self._dtype)

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Move every parameter once; ``grads`` is shaped like the parameters."""
        gradient, update = self._gather(grads), self._update
        self._square *= self.decay
        np.multiply(gradient, gradient, out=update)
        update *= 1 - self.decay
        self._square += update
        np.sqrt(self._square, out=update)
        update += self.epsilon
        np.divide(gradient, update, out=gradient)
        if self.momentum:
            self._velocity *= self.momentum
            self._velocity += gradient
            gradient = self._velocity
        np.multiply(gradient, self.learning_rate, out=update)
        self._apply()


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise RnnbenchError(f"{name} must be in [0, 1), got {value!r}")


def _above_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise RnnbenchError(f"{name} must be a finite number above 0, got {value!r}")


def global_norm(arrays: Iterable[np.ndarray]) -> float:
    """Return the Euclidean norm of all numbers in ``arrays`` together, accumulated in float64."""
    total = 0.0
    for array in arrays:
        flat = array.ravel().astype(np.float64, copy=False)
        total += float(np.dot(flat, flat))
    return math.sqrt(total)


def clip_by_norm(grads: Mapping[str, np.ndarray], limit: float) -> float:
    """Scale ``grads`` in place so that their global norm is at most ``limit``, and return the norm they had.

    ``grads``: parameter gradients only (what ``Model.backward`` returns). A norm that is not finite is returned and
    nothing is scaled: no factor mends it. Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    if not limit > 0:
        raise RnnbenchError(f"limit must be above 0, got {limit!r}")
    norm = global_norm(grads.values())
    if limit < norm < math.inf:
        factor = limit / norm
        for gradient in grads.values():
            gradient *= factor
    return norm


def clip_by_value(grads: Mapping[str, np.ndarray], limit: float) -> bool:
    """Bring every number of ``grads`` into [-limit, limit] in place, and return whether one lay outside.

    An array with a number that is not finite is left as it is: no limit mends it, and training has to see it.
    Mikolov 2012, Statistical language models based on neural networks, section 3.2.2.
    """
    if not limit > 0:
        raise RnnbenchError(f"limit must be above 0, got {limit!r}")
    outside = False
    for gradient in grads.values():
        largest = float(np.abs(gradient).max(initial=0))
        if limit < largest < math.inf:
            outside = True
            np.clip(gradient, -limit, limit, out=gradient)
    return outside
