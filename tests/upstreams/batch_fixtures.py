"""Providers with batches as fixtures, for the test modules that name this one in their ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstreams.anthropic_batches import BatchingAnthropic
from tests.upstreams.openai_batches import BatchingOpenAI


@pytest.fixture
def gpt() -> Iterator[BatchingOpenAI]:
    """OpenAI with its batches, whose answers come at once."""
    with BatchingOpenAI() as server:
        yield server


@pytest.fixture
def claude() -> Iterator[BatchingAnthropic]:
    """Anthropic with its batches."""
    with BatchingAnthropic() as server:
        yield server
