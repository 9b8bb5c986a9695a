"""The frozen grid: it does not depend on what the installed version offers, so that history stays comparable.

Legend: T time steps, B batch, I input size, H hidden size. Shapes are written ``TxBxIxH``.
"""

# One cell of each kind: plain, gated with a memory cell, gated, elementwise, linear (scannable).
CELLS = ["elman_tanh", "lstm", "gru", "indrnn", "min_gru"]
# The shapes of `rnnbench speed`: one sequence at a time; batches as in training; long and narrow; and one that fits no
# vector or tile. Then two that differ from the usual one in H or T alone, so that time can be drawn against each.
SHAPES = [
    *["100x1x64x64", "100x1x128x256", "50x1x512x512"],
    *["100x32x32x64", "100x32x128x128", "100x64x256x256", "50x64x512x512"],
    *["1000x32x2x128", "97x7x13x53"],
    *["100x32x128x64", "400x32x128x128"],
]
# Cells without a recurrent product are bound by other things: where it shows, a batch and a long sequence.
LIGHT_CELLS = ["indrnn", "min_gru"]
LIGHT_SHAPES = ["100x32x128x128", "1000x32x2x128"]
# Training with checkpoints, read out at the last step: long enough that its memory is that of the checkpoints.
LONG_SHAPE, AGREEING_SHAPE, CHECKPOINT = "10000x32x2x128", "250x4x2x128", 100
# The differences from the reference: a shape that fits no vector or tile, its reference quick.
ROUNDED_SHAPE = "97x7x13x53"
# On a GPU, where there is one: a model whose weights are shared among all multiprocessors.
GPU_ENGINES, GPU_CELL, GPU_SHAPE = ["cuda", "cuda_steps"], "lstm", "100x64x512x512"
MODES = ["forward", "training"]
# The cells of the benchmarks of speed, peak memory and error: each the best known of its kind.
FEW_CELLS = ["elman_tanh", "lstm", "gru"]
PEAK_SHAPE = "400x32x128x128"
SEEDS = [0, 1, 2]
