"""Tests of the openai-chat codec."""
