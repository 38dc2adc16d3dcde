"""Measurements of a whole Oxide against what it cannot be faster than, as ratios within one run. Not part of the tests: they are slow and want a quiet machine."""
