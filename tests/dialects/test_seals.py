"""Opaque thinking survives the clients of other dialects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.seals import (
    OpenAISeal,
    carries_foreign_thinking,
    encrypted_content,
    is_foreign,
    openai_seal,
    read_sealed,
)
from gateway.domain.chat import Dialect, RedactedThinking, Thinking
from tests.dialects.strategies import redacted_thinkings, thinkings


@given(thinking=st.one_of(thinkings, redacted_thinkings))
def test_anthropic_thinking_comes_back_identical(thinking: Thinking | RedactedThinking) -> None:
    """What Anthropic signed or encrypted reads back byte for byte from a reasoning item."""
    text = thinking.text if isinstance(thinking, Thinking) else ""
    assert read_sealed(text, encrypted_content(thinking), "rs_1") == thinking


@pytest.mark.parametrize("text", ["why", ""])
def test_openai_reasoning_is_sealed_with_its_id(text: str) -> None:
    """OpenAI's own encrypted content travels with its item's id, and only OpenAI's renderer opens it."""
    thinking = read_sealed(text, "gAAAA:B==", "rs_7")
    assert thinking is not None
    assert openai_seal(thinking) == OpenAISeal("rs_7", "gAAAA:B==")
    assert encrypted_content(thinking) == "gAAAA:B=="
    assert is_foreign(thinking.data if isinstance(thinking, RedactedThinking) else thinking.signature)


def test_an_empty_item_holds_no_thinking() -> None:
    """A reasoning item without text and without encrypted content says nothing."""
    assert read_sealed("", None, "rs_1") is None
    assert read_sealed("", "", "rs_1") is None


def test_signatures_of_anthropic_are_not_foreign() -> None:
    """A signature as Anthropic writes it is not taken for OpenAI's, and neither is none at all."""
    assert not is_foreign("EqQBCgIYAhIM")
    assert not is_foreign(None)
    assert openai_seal(Thinking("x", "EqQBCgIYAhIM")) is None


@pytest.mark.parametrize(
    ("raw", "dialect", "is_strict", "expected"),
    [
        (b'{"messages":[{"role":"assistant","thinking_blocks":[]}]}', Dialect.OPENAI_CHAT, True, True),
        (b'{"messages":[{"role":"assistant","thinking_blocks":[]}]}', Dialect.OPENAI_CHAT, False, False),
        (b'{"messages":[{"role":"user","content":"hi"}]}', Dialect.OPENAI_CHAT, True, False),
        (b'{"input":[{"encrypted_content":"ponder:sig:abc"}]}', Dialect.OPENAI_RESPONSES, False, True),
        (b'{"input":[{"encrypted_content":"gAAAA"}]}', Dialect.OPENAI_RESPONSES, False, False),
        (b'{"messages":[{"content":[{"signature":"ponder:openai:rs_1:x"}]}]}', Dialect.ANTHROPIC_MESSAGES, False, True),
        (b'{"messages":[{"content":[{"signature": ""}]}]}', Dialect.ANTHROPIC_MESSAGES, False, True),
        (b'{"messages":[{"content":[{"signature":"EqQB"}]}]}', Dialect.ANTHROPIC_MESSAGES, False, False),
    ],
)
def test_histories_with_another_providers_thinking_are_told_apart(
    raw: bytes, dialect: Dialect, is_strict: bool, expected: bool
) -> None:
    """A same-dialect request passes through unless its upstream would refuse the thinking in it."""
    assert carries_foreign_thinking(raw, dialect, is_strict=is_strict) is expected
