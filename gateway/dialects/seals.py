"""Seals: opaque thinking on its way through a client that speaks another dialect.

Providers sign or encrypt thinking, and take it back only byte for byte and only from their own
models. A client of another dialect has one opaque member to carry it in, so the member is marked
with where its content belongs::

    ponder:sig:SIGNATURE          Anthropic's thinking signature, in `encrypted_content`
    ponder:red:DATA               Anthropic's redacted thinking, in `encrypted_content`
    ponder:openai:ID:ENCRYPTED    an OpenAI reasoning item, in a `signature` or redacted `data`

The first two are written for openai-responses clients and never enter the neutral values, where
Anthropic's strings stand as they came. The third does: :func:`is_foreign` tells it from a
signature that Anthropic could verify.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.domain.chat import Dialect, RedactedThinking, Thinking

_MARK = "ponder:"
_SIGNED = f"{_MARK}sig:"
_REDACTED = f"{_MARK}red:"
_OPENAI = f"{_MARK}openai:"
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')


@dataclass(frozen=True, slots=True)
class OpenAISeal:
    """What identifies an OpenAI reasoning item: its id and its encrypted content."""

    item_id: str
    encrypted_content: str


def is_foreign(opaque: str | None) -> bool:
    """Whether a neutral signature or redacted ``data`` belongs to OpenAI, so that Anthropic would refuse it."""
    return opaque is not None and opaque.startswith(_OPENAI)


def carries_foreign_thinking(raw: bytes, dialect: Dialect, *, is_strict: bool) -> bool:
    """Whether a request's bytes hold thinking that an upstream of its own dialect would refuse.

    Such a history was made by another provider's model through this gateway; it is rendered anew,
    without that thinking, in place of passing through. ``is_strict``: the upstream refuses unknown
    fields as well. A prompt that merely quotes these marks is rendered anew too, and loses nothing.
    """
    if dialect is Dialect.OPENAI_CHAT:
        return is_strict and (b'"thinking_blocks"' in raw or b'"reasoning_content"' in raw)
    if dialect is Dialect.OPENAI_RESPONSES:
        return _SIGNED.encode() in raw or _REDACTED.encode() in raw
    return _OPENAI.encode() in raw or _UNSIGNED.search(raw) is not None


def openai_seal(thinking: Thinking | RedactedThinking) -> OpenAISeal | None:
    """The OpenAI reasoning item that ``thinking`` came from; None where it came from elsewhere."""
    opaque = thinking.data if isinstance(thinking, RedactedThinking) else thinking.signature
    if opaque is None or not is_foreign(opaque):
        return None
    item_id, _, encrypted = opaque.removeprefix(_OPENAI).partition(":")
    return OpenAISeal(item_id, encrypted)


def encrypted_content(thinking: Thinking | RedactedThinking) -> str | None:
    """What an openai-responses client is given to carry; None for thinking that nobody signed."""
    if (seal := openai_seal(thinking)) is not None:
        return seal.encrypted_content
    if isinstance(thinking, RedactedThinking):
        return _REDACTED + thinking.data
    return None if thinking.signature is None else _SIGNED + thinking.signature


def read_sealed(text: str, encrypted: str | None, item_id: str) -> Thinking | RedactedThinking | None:
    """The thinking in a reasoning item; None for an item that holds neither text nor encrypted content."""
    if not encrypted:
        return Thinking(text) if text else None
    if encrypted.startswith(_SIGNED):
        return Thinking(text, encrypted.removeprefix(_SIGNED))
    if encrypted.startswith(_REDACTED):
        return RedactedThinking(encrypted.removeprefix(_REDACTED))
    sealed = f"{_OPENAI}{item_id}:{encrypted}"
    return Thinking(text, sealed) if text else RedactedThinking(sealed)
