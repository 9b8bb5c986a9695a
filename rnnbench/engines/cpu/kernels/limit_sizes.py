"""Sizes on which the loops that measure limits and their callers agree. Nothing here needs Numba."""

# By the number of vector registers. A port starts one multiply-add a cycle and ends it after four or five: two ports
# need ten chains that do not wait for one another, four ports (of machines with many registers) twenty. The two
# operands that all chains share take registers as well.
CHAINS = {16: 12, 32: 24}
# Additions of whole numbers take one cycle, so few sums keep up with any number of load ports.
SUMS = 8
