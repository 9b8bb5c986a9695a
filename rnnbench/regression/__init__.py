"""Two commits of a project: measured in turns, judged, and reported (``rnnbench ci``, docs/ci.md)."""
