"""Seconds until a new cell has trained for the first time, from an empty kernel cache."""

from rnnbench.measure import compile_times


class Compile:
    """Product kernels, time loops and the cell's own bodies, in a process that has done nothing else."""

    params = [["lstm"]]
    param_names = ["cell"]
    unit = "seconds"
    timeout = 120

    def track_cold(self, cell):
        return compile_times(cell)["cold_seconds"]
