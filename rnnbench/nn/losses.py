"""Loss functions with their gradients: pure functions of a model's output and its target."""

import numpy as np

from rnnbench.errors import RnnbenchError


def mean_squared_error(
    output: np.ndarray, target: np.ndarray, mask: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return the mean of (output - target)^2 and its gradient with respect to ``output``.

    ``output`` and ``target`` [..., O]; ``mask`` bool [...] names the positions that count (None: all).
    The loss is accumulated in float64; the gradient has the shape and dtype of ``output`` and is zero where masked.
    Raises RnnbenchError when shapes differ or no position counts.
    """
    if output.shape != target.shape or output.ndim < 1:
        raise RnnbenchError(f"output must have the shape of target, {target.shape}, got {output.shape}")
    difference = output.astype(np.float64) - target
    count = difference.size
    if mask is not None:
        count = _counted(mask, output.shape[:-1]) * output.shape[-1]
        # Where, not a product: a masked position may hold a NaN, and 0 * NaN is NaN.
        difference = np.where(mask[..., None], difference, 0.0)
    if count == 0:
        raise RnnbenchError(f"output must have at least one element, got shape {output.shape}")
    loss = float(np.vdot(difference, difference)) / count
    return loss, (difference * (2.0 / count)).astype(output.dtype)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, mask: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return the mean of -log softmax(logits)[label], in nats, and its gradient with respect to ``logits``.

    ``logits`` [..., O]; ``labels`` integers in 0..O-1, [...]; ``mask`` bool [...] names the positions that count
    (None: all). Computed in float64 from logits shifted by their maximum, so large logits do not overflow; the
    gradient has the shape and dtype of ``logits`` and is zero where masked. A NaN logit makes the loss NaN.
    Raises RnnbenchError when shapes differ, a label that counts is out of range, or no position counts.
    """
    if logits.ndim < 1 or logits.shape[:-1] != labels.shape:
        raise RnnbenchError(
            f"logits must have the shape of labels, {labels.shape}, and one axis of classes, got {logits.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise RnnbenchError(f"labels must be integers, got dtype {labels.dtype}")
    classes = logits.shape[-1]
    count = labels.size if mask is None else _counted(mask, labels.shape)
    if count == 0 or classes == 0:
        raise RnnbenchError(f"logits must have at least one element, got shape {logits.shape}")
    chosen = labels if mask is None else np.where(mask, labels, 0)
    if chosen.min() < 0 or chosen.max() >= classes:
        raise RnnbenchError(f"labels must lie in 0..{classes - 1}, got {chosen.min()}..{chosen.max()}")

    shifted = logits.astype(np.float64)
    if mask is not None:
        shifted = np.where(mask[..., None], shifted, 0.0)
    shifted -= shifted.max(axis=-1, keepdims=True)
    gradient = np.exp(shifted)
    total = gradient.sum(axis=-1, keepdims=True)
    gradient /= total
    at_label = chosen[..., None]
    losses = np.log(total) - np.take_along_axis(shifted, at_label, axis=-1)
    np.put_along_axis(gradient, at_label, np.take_along_axis(gradient, at_label, axis=-1) - 1.0, axis=-1)
    if mask is not None:
        losses, gradient = losses * mask[..., None], gradient * mask[..., None]
    return float(losses.sum()) / count, (gradient / count).astype(logits.dtype)


def _counted(mask: np.ndarray, shape: tuple[int, ...]) -> int:
    """Return how many positions ``mask`` lets through, after checking its dtype and shape."""
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise RnnbenchError(f"mask must be bool of shape {shape}, got {mask.dtype} of shape {mask.shape}")
    count = int(np.count_nonzero(mask))
    if count == 0:
        raise RnnbenchError("mask must let at least one position through, got none")
    return count
