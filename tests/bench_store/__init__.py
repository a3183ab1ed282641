"""Measures the store at scale, on a PostgreSQL of its own: ``make bench-store``."""
