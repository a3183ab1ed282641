"""Scores that were given before: numbers by digests, the ones least recently used making room."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from gateway.domain.verification import Problem

MOST_REMEMBERED: Final = 50_000
"""Scores that one verifier keeps, some 10 MB when full."""


class Remembered:
    """Scores by what was scored. Digests are keyed with a secret of this process: they tell nothing of the text."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._secret = secrets.token_bytes(32)
        self._scores: OrderedDict[bytes, float] = OrderedDict()

    def keys(self, problem: Problem, steps: Sequence[str], salt: str) -> list[bytes]:
        """What tells an answer apart from all others, as far as each of its steps."""
        digest = blake2b(digest_size=16, key=self._secret)
        for text in (salt, problem.system, *(text for turn in problem.turns for text in turn)):
            _absorb(digest, text)
        digest.update(len(problem.turns).to_bytes(8))
        keys = []
        for step in steps:
            _absorb(digest, step)
            keys.append(digest.digest())
        return keys

    def get(self, key: bytes) -> float | None:
        """The score, if there is one."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: bytes, score: float) -> None:
        """Keep a score."""
        self._scores[key] = score
        self._scores.move_to_end(key)
        if len(self._scores) > self._most:
            self._scores.popitem(last=False)


def _absorb(digest: blake2b, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    digest.update(len(raw).to_bytes(8))
    digest.update(raw)
