"""The frozen grid: it does not depend on what the installed version offers, so that history stays comparable.

Legend: T time steps, B batch, I input size, H hidden size. Shapes are written ``TxBxIxH``.
"""

# One cell of each kind: plain, gated with a memory cell, gated, elementwise, linear (scannable).
CELLS = ["elman_tanh", "lstm", "gru", "indrnn", "min_gru"]
# Latency (one sequence); training, with H and then T varied alone, so that time can be drawn against each; long.
SHAPES = ["100x1x128x256", "100x32x128x64", "100x32x128x128", "100x32x128x256", "400x32x128x128", "1000x32x2x64"]
MODES = ["forward", "training"]
# The cells of the memory and error benchmarks: each the best known of its kind.
FEW_CELLS = ["elman_tanh", "lstm", "gru"]
PEAK_SHAPE = "400x32x128x128"
SEEDS = [0, 1, 2]
