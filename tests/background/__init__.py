"""Tests of gateway/background."""
