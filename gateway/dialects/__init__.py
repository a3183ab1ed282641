"""Dialects: one codec each, all pure. See ``codec.py`` for what a codec is."""
