"""Conversations, as far as a gateway that keeps none of them needs to know: who answers them, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

_PLACES = 2**64


@dataclass(frozen=True, slots=True)
class StickyArm:
    """The arm that answers a conversation, so that its provider's prompt cache and signatures stay of use.

    ``model`` is the configured model that gave the latest answer. ``root`` identifies the ask that the
    conversation began with, and with it the conversation.
    """

    policy: str
    arm: str
    model: str
    root: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an ask stands in its conversation.

    ``ask`` identifies it among all keys' asks, ``continues`` the one that it goes on from. None where the body does
    not tell, and where nothing has been answered yet: then there is no arm to keep.
    """

    ask: bytes | None
    continues: bytes | None
    is_tool_turn: bool
    """The results of tools come in: the model that called them goes on, and nothing may be rerouted."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An ask of a conversation: its own identity, under which its arm is kept, and the conversation's."""

    ask: bytes
    root: bytes


def share_point(conversation: bytes, salt: str) -> float:
    """A conversation's place among all, from 0 up to 1, evenly spread; another salt gives another order."""
    digest = blake2b(conversation, digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / _PLACES
