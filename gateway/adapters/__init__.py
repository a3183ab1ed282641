"""Adapters: one outside thing each, behind a Protocol of ``ports.py``."""
