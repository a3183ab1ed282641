"""Conversations, as far as a gateway that keeps none of them needs to know: who answers them, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

_PLACES = 2**64


@dataclass(frozen=True, slots=True)
class StickyArm:
    """The arm that answers a conversation, so that its provider's prompt cache and signatures stay of use.

    ``model`` is the configured model that gave the latest answer.
    """

    policy: str
    arm: str
    model: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an ask stands in its conversation.

    ``conversation`` identifies it among all keys' conversations; None where the ask does not tell.
    """

    conversation: bytes | None
    is_opening: bool
    """Nothing has been answered yet: there is no arm to keep, whatever equal openings were given."""
    is_tool_turn: bool
    """The results of tools come in: the model that called them goes on, and nothing may be rerouted."""


def share_point(conversation: bytes, salt: str) -> float:
    """A conversation's place among all, from 0 up to 1, evenly spread; another salt gives another order."""
    digest = blake2b(conversation, digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / _PLACES
