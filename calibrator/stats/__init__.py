"""Statistics of the calibrator: functions from arrays to frozen results, in numpy and scipy alone.

Every result names its estimate, bound, level, sample size and assumptions; every docstring names the paper,
what is guaranteed and when not. Nothing here knows arms, money or time, nor imports anything of ours.
"""
