"""Layers that agree with the reference, and the arrays they are run on."""

import functools

import numpy as np

import rnnbench as rb

from .grid import CELLS

DTYPE = "float32"
# Largest difference from the float64 reference, relative to the largest value of the array. The gradient of a parameter
# is a sum over the steps: beyond SUMMED of them, its rounding grows with the square root of their number.
TOLERANCE = 1e-5
SUMMED = 100
# Share of a gradient's entries left out of that for a cell with a kink, where rounding decides the side (relu): about
# one pre-activation in a few million is on the other side than in float64, and the gradients that pass there jump.
KINK_SHARE = 1 / 64


class PreparedKernels:
    """Base of every class that runs kernels: compiles them once per run into the cache that all processes share."""

    timeout = 300  # of setup_cache too

    def setup_cache(self):
        """Compile every kernel of the grid in one process: no benchmark's time or memory then holds a compilation."""
        for cell in CELLS:
            agreeing_layer(cell, "2x1x3x16", training=True)


def sizes(shape):
    """Return ``(T, B, I, H)`` of a shape written ``TxBxIxH``."""
    T, B, I, H = map(int, shape.split("x"))  # noqa: E741 - the legend's letters
    return T, B, I, H


def arrays(shape):
    """Return the inputs ``x [T, B, I]`` and output gradients ``dy [T, B, H]`` of a shape, the same for every cell."""
    T, B, I, H = sizes(shape)  # noqa: E741 - the legend's letters
    rng = np.random.default_rng(0)
    return rng.standard_normal((T, B, I), dtype=DTYPE), rng.standard_normal((T, B, H), dtype=DTYPE)


@functools.cache  # asv calls setup before every sample
def agreeing_layer(cell, shape, training, **options):
    """Return ``(layer, x, dy)`` once the layer's results agree with the float64 reference, its kernels warm.

    ``options``: further ones of the layer, such as ``checkpoint``, or another ``engine`` than "cpu".
    """
    layer, x, dy, errors = compared_layer(cell, shape, training, **options)
    for name, error in errors.items():
        summed = 1 if name in ("x", "y") else max(1, sizes(shape)[0] / SUMMED)
        if not error <= TOLERANCE * summed**0.5:
            raise AssertionError(f"{cell} {shape}: {name} is {error:.1e} of its largest value off the reference")
    return layer, x, dy


def compared_layer(cell, shape, training, **options):
    """Return ``(layer, x, dy, errors)``: each result's difference from the float64 reference, over its largest."""
    T, _, I, H = sizes(shape)  # noqa: E741 - the legend's letters
    x, dy = arrays(shape)
    layer = rb.Layer(cell, input_size=I, hidden_size=H, dtype=DTYPE, seed=0, **options)
    reference = rb.Layer(cell, input_size=I, hidden_size=H, engine="reference", dtype="float64", seed=0)
    for name, array in layer.params.items():
        reference.params[name][...] = array
    if not training:
        layer.freeze()  # before the comparison: the frozen kernel is the one that is timed
    got, expected = run(layer, x, dy, training), run(reference, x.astype("f8"), dy.astype("f8"), training)
    errors = {}
    for name, array in expected.items():
        off = np.abs(got[name] - array)
        whole = name == "y" or layer.program.smooth
        error = off.max() if whole else np.quantile(off, 1 - KINK_SHARE, method="lower")
        errors[name] = float(error / np.abs(array).max())
    return layer, x, dy, errors


def run(layer, x, dy, training):
    """Return the output and, with ``training``, every gradient of one pass."""
    y, _ = layer.forward(x, training=training)
    return {"y": y, **(layer.backward(dy) if training else {})}
