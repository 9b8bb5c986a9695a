"""The asv suite: speed, memory and long-range error of each commit.

``asv_runner`` 0.3.0 and later re-runs ``setup`` before every timed call and so times single calls whenever a benchmark
has a ``setup``. Ours builds a layer that many calls share, and a call as short as these wants many calls in a sample:
the suite opts out, and a sample is again ``number`` calls that fill ``sample_time``. See README.md.
"""

from asv_runner.benchmarks.time import TimeBenchmark

TimeBenchmark._setup_isolates_timed_calls = False
