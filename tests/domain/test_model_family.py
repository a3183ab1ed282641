"""Names of models without their snapshots."""

from __future__ import annotations

import pytest

from gateway.domain.model_family import model_family


@pytest.mark.parametrize(
    ("billed", "ours"),
    [
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5-mini-2025-08-07", "openai/gpt-5-mini"),
        ("gpt-4-0613", "gpt-4"),
        ("ft-gpt-4.1-mini-2025-04-14", "ft:gpt-4.1-mini-2025-04-14:acme::AbC123"),
        ("Claude Haiku 4.5", "claude-haiku-4-5-20251001"),
        ("Claude Sonnet 4", "claude-sonnet-4-0"),
        ("Claude Sonnet 4", "claude-sonnet-4@20250514"),
        ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet-latest"),
        ("Claude Haiku 3.5", "claude-3-5-haiku-20241022"),
        ("Claude Opus 4.6 (fast)", "claude-opus-4-6"),
        ("claude-opus-5", "claude-opus-5"),
    ],
)
def test_a_bills_name_and_ours_are_one_family(billed: str, ours: str) -> None:
    """An alias, a snapshot and the name for people of one model are brought together."""
    assert model_family(billed) == model_family(ours)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-5", "gpt-5-mini"),
        ("gpt-5", "gpt-5.4"),
        ("gpt-4o", "gpt-4"),
        ("Claude Opus 4.5", "claude-opus-4-6"),
        ("Claude Sonnet 4", "claude-sonnet-4-5"),
        ("claude-haiku-4-5", "claude-sonnet-4-5"),
    ],
)
def test_other_models_are_other_families(one: str, other: str) -> None:
    """Sizes and versions stay apart."""
    assert model_family(one) != model_family(other)
