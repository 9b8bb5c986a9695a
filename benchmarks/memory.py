"""Bytes: the engine's own account of its workspace, and the peak resident memory of the process."""

from .grid import CELLS, FEW_CELLS, MODES, PEAK_SHAPE
from .layers import PreparedKernels, agreeing_layer, arrays, rb, run, sizes


class Workspace:
    unit = "bytes"
    params = [CELLS, MODES, [PEAK_SHAPE]]
    param_names = ["cell", "mode", "TxBxIxH"]

    def track_workspace(self, cell, mode, shape):
        T, B, I, H = sizes(shape)  # noqa: E741 - the legend's letters
        layer = rb.Layer(cell, input_size=I, hidden_size=H, engine="cpu", dtype="float32", seed=0)
        return layer.workspace_bytes(T, B, mode == "training")


class Peak(PreparedKernels):
    """Peak resident bytes of a process; what a training step adds is its peak less the baseline's.

    The baseline holds all that the other does not mean to measure: Python, the libraries, the loaded kernels and the
    input arrays.
    """

    params = [FEW_CELLS, [PEAK_SHAPE]]
    param_names = ["cell", "TxBxIxH"]

    def setup(self, cell, shape):
        agreeing_layer(cell, "2x1x3x16", training=True)
        self.x, self.dy = arrays(shape)
        _, _, I, H = sizes(shape)  # noqa: E741 - the legend's letters
        self.layer = rb.Layer(cell, input_size=I, hidden_size=H, engine="cpu", dtype="float32", seed=0)

    def peakmem_baseline(self, cell, shape):
        pass

    def peakmem_training(self, cell, shape):
        run(self.layer, self.x, self.dy, training=True)
