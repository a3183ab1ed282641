"""Tests of gateway/supervisor, with real processes."""
