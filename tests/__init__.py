"""Tests; paths mirror the source."""
