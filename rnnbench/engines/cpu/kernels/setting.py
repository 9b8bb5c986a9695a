"""What one copy of these kernels is made for; the cache writes this file anew for every dtype and vector width."""

DTYPE = "float32"
LANES = 8  # values in a hardware vector
REGISTERS = 16  # vector registers of the machine
