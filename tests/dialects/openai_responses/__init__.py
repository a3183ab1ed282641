"""Tests of the openai-responses codec."""
