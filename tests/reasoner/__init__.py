"""The test bed of searches: a small reasoner of our own, its tasks and its training."""
