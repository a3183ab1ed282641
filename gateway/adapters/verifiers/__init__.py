"""Verifiers: what scores the answers of a search. Here, those that ask a model."""
