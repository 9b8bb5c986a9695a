"""Sources of the CPU kernels that every cell shares, and of the vector type that emitted cells are written in.

This package is never compiled in place: ``rnnbench.engines.cpu.cache`` copies it, with a ``setting.py`` for one dtype
and vector width, into a folder named by the hash of everything it is made from, and imports it from there. So no edit
can leave a stale kernel in use. Addresses are int64 in bytes, strides are in bytes, and nothing here raises.
"""
