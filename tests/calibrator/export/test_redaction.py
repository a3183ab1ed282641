"""What is taken out of texts, and what is left in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrator.export.redaction import redact


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Write to bob.smith+x@mail.example.co.uk now", "Write to [EMAIL] now"),
        ("+49 (0)30 901820-12, (555) 123-4567 or 555-123-4567", "[PHONE], [PHONE] or [PHONE]"),
        ("sk-ponder-AbCdEf0123456789 and sk-ant-api03-AbCdEf0123456789", "[SECRET] and [SECRET]"),
        ("AKIAIOSFODNN7EXAMPLE, hf_" + "a1" * 17, "[SECRET], [SECRET]"),
        ("api_key = 'abc12345', password: hunter22", "api_key = '[SECRET]', password: [SECRET]"),
        ("The password is hunter22!", "The password is [SECRET]"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer [SECRET]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_", "[SECRET]"),
        ("postgres://me:pass@host/db", "postgres://[SECRET]@host/db"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a [SECRET] b"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[SECRET]"),
        ("card 4111 1111 1111 1111.", "card [CARD]."),
        ("DE89 3704 0044 0532 0130 00", "[ACCOUNT]"),
    ],
)
def test_what_lets_in_or_names_somebody_is_taken_out(text: str, left: str) -> None:
    """A word in brackets says what it was."""
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "What is 123456789 * 987654321?",
        "3.14159265358979 is near 22/7, and 4111 1111 1111 1112 is a number",
        "On 2026-11-22 at 18:00:00, between 1990-2000",
        "f(x) = x**2 + 1234567, a@b, 5+12345678",
        "A password is something that one keeps.",
        "DE00 3704 0044 0532 0130 00",
    ],
)
def test_mathematics_and_plain_words_stay(text: str) -> None:
    """Numbers that are no one's, dates and words are left as they are."""
    assert redact(text) == text


@given(st.text(max_size=200))
def test_redacting_again_changes_nothing(text: str) -> None:
    """What was put in is not taken for something to be taken out."""
    once = redact(text)
    assert redact(once) == once
    once.encode()
