"""The measurements of searches: ``make bench-search`` runs them and writes ``docs/results/search.md``.

Everything runs on the test bed of ``tests/reasoner``, on real vLLMs, through a real gateway.
"""
