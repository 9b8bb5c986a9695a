"""Long-range error: how much of a task is not remembered over a distance, after an equal budget of training."""

import numpy as np

import rnnbench as rb

from .grid import FEW_CELLS, SEEDS

STEPS = 600


class LongRange:
    params = [FEW_CELLS, ["adding", "temporal_order_3"], [20, 60]]
    param_names = ["cell", "task", "length"]
    unit = "1 - score"
    timeout = 120

    def track_error(self, cell, task, length):
        trial = {"cell": cell, "task": task, "length": length, "hidden": 32, "steps": STEPS, "learning_rate": 1e-2}
        results = [rb.run_trial(rb.Trial(**trial, seed=seed)) for seed in SEEDS]
        return float(np.mean([1 - result.score for result in results]))
