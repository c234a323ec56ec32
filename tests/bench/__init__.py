"""Benchmarks: us beside our peers, in one run, as ratios."""
