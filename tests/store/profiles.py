"""Profiles to be published in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from gateway.domain.profile_document import Certificate, CertifiedCell, ProfileDocument, RuleProfile
from gateway.store.base import locate
from gateway.store.changes import Changes

Done = TypeVar("Done")

CERTIFICATE = Certificate(
    reference="think-hard",
    scope="policy",
    method="betting",
    loss_at_most=0.02,
    bound=0.0173,
    confidence=0.9,
    labels=400,
)


def document(
    policy: str = "default",
    *,
    arm: str = "fast",
    rule: str = "checkable",
    rule_digest: str = "r" * 64,
    cells: Mapping[tuple[str, str | None], str] | None = None,
) -> ProfileDocument:
    """A document that certifies an arm for mathematics, or arms for cells."""
    certified = tuple(
        CertifiedCell(category, difficulty, name, 40, None if difficulty is None else 0.05)
        for (category, difficulty), name in (cells or {("math", None): arm}).items()
    )
    return ProfileDocument(
        policy=policy,
        policy_digest="p" * 64,
        data_digest="d" * 64,
        seed=7,
        rules={rule: RuleProfile(rule_digest, CERTIFICATE, certified)},
    )


def changed(home: Path, change: Callable[[Changes], Awaitable[Done]]) -> Done:
    """What comes of a change in the SQLite database of a gateway that is running, made beside it."""

    async def run() -> Done:
        changes = Changes(locate(f"sqlite:///{home}/ponder.db"))
        try:
            return await change(changes)
        finally:
            await changes.close()

    return asyncio.run(run())
