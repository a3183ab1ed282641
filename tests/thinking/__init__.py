"""Thinking, from the wish to what a strict stand-in of each provider understands."""
