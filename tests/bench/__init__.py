"""`make bench`: what the gateway itself costs, beside a floor and its peers, measured in one run.

Run as ``python -m tests.bench``. The load generator and the mock upstream have one core, the server
under measurement the other. Machines are shared and noisy, so every verdict is a ratio or a
difference within one round, and the median of three rounds; absolute figures are for orientation.
"""
