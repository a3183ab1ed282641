"""Outcome tables: what several ways of answering scored on the same items, and what they cost."""
