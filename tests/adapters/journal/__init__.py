"""Tests of gateway/adapters/journal."""
