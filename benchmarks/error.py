"""Errors: what a kernel's numbers are off, and how much of a task is not remembered over a distance after training."""

import numpy as np

import rnnbench as rb

from .grid import FEW_CELLS, ROUNDED_SHAPE, SEEDS
from .layers import compared_layer

STEPS = 600


class LongRange:
    params = [FEW_CELLS, ["adding", "temporal_order_3"], [20, 60]]
    param_names = ["cell", "task", "length"]
    unit = "1 - score"
    timeout = 120
    # Another order of a sum is another draw of the training, of which three seeds are the mean.
    smallest_difference = 0.1

    def track_error(self, cell, task, length):
        trial = {"cell": cell, "task": task, "length": length, "hidden": 32, "steps": STEPS, "learning_rate": 1e-2}
        results = [rb.run_trial(rb.Trial(**trial, seed=seed)) for seed in SEEDS]
        return float(np.mean([1 - result.score for result in results]))


class Rounding:
    """The largest difference from the float64 reference among outputs and gradients, each over its largest value."""

    params = [FEW_CELLS, [ROUNDED_SHAPE]]
    param_names = ["cell", "TxBxIxH"]
    unit = "relative error"
    timeout = 300  # it may compile
    # Another order of a sum rounds otherwise; a worse function or a wrong kernel is off by far more.
    smallest_change = 0.5

    def track_rounding(self, cell, shape):
        _, _, _, errors = compared_layer(cell, shape, training=True)
        return max(errors.values())
