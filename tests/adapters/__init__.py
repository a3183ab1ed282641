"""Tests of gateway/adapters."""
