"""`make soak`, `make chaos` and what they share with the test of many machines: a whole installation with faults.

Its servers are real processes on loopback. Whoever breaks one says so, and everything else that a client
notices counts as a failure.
"""
