"""Published profiles: versions that are numbered from 1 per policy and never change. What is in force of them is
:mod:`gateway.store.rollouts`'s.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.profile_document import ProfileDocument, PublishedProfile, profile_target
from gateway.domain.tenancy import Author
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.calibration_tables import certificates, profiles
from gateway.store.changes import Changes


class Profiles:
    """The published profiles in a database."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def publish(
        self,
        document: ProfileDocument,
        *,
        number: int,
        expires_at: float,
        by: Author,
        experiment_id: str | None = None,
        report: str | None = None,
    ) -> PublishedProfile:
        """Keep a version under the number that follows the latest one; it is in force nowhere yet.

        Safe to repeat: what is there already under this number, equal and of the same experiment, is
        returned as it is. Raises Conflict where another publisher was faster.
        """
        wanted = PublishedProfile(
            policy=document.policy,
            number=number,
            text=document.encoded(),
            policy_digest=document.policy_digest,
            experiment_id=experiment_id,
            report=report,
            created_at=by.at,
            created_by=by.id,
            expires_at=expires_at,
        )
        if expires_at <= by.at:
            raise InvalidRequest("a profile that has expired already is not published")
        async with self._changes.begin(by) as change:
            present = await _find(change.connection, document.policy, number)
            if present is not None and (present.digest, present.experiment_id) == (wanted.digest, experiment_id):
                return present
            latest = await _latest(change.connection, document.policy)
            if number != latest + 1:
                raise Conflict(
                    f"version {number} of profile {document.policy!r} does not follow version {latest}, the latest; "
                    "another one was published meanwhile"
                )
            await change.connection.execute(insert(profiles).values(_row(wanted)))
            if document.rules:
                await change.connection.execute(insert(certificates), _certificates(document, number))
            after = {"number": number, "digest": wanted.digest, "experiment": experiment_id}
            await change.record("profile.publish", profile_target(document.policy), before=None, after=after)
        return wanted

    async def latest(self, policy: str) -> int:
        """The number of a policy's latest version; 0 before the first."""
        async with self._changes.reading() as connection:
            return await _latest(connection, policy)

    async def find(self, policy: str, number: int) -> PublishedProfile:
        """A version. Raises NotFound."""
        async with self._changes.reading() as connection:
            found = await _find(connection, policy, number)
        if found is None:
            raise NotFound(
                f"profile {policy!r} has no version {number}; GET /admin/profiles/{policy}/versions lists those it has"
            )
        return found

    async def versions(self, policy: str, *, limit: int) -> tuple[PublishedProfile, ...]:
        """A policy's versions, the latest first."""
        statement = select(profiles).where(profiles.c.policy == policy).order_by(profiles.c.number.desc()).limit(limit)
        async with self._changes.reading() as connection:
            return tuple(_profile(row) for row in (await connection.execute(statement)).mappings())

    async def policies(self) -> tuple[str, ...]:
        """The policies that something was published of, by name."""
        statement = select(profiles.c.policy).distinct().order_by(profiles.c.policy)
        async with self._changes.reading() as connection:
            return tuple(await connection.scalars(statement))


async def _latest(connection: AsyncConnection, policy: str) -> int:
    statement = select(func.coalesce(func.max(profiles.c.number), 0)).where(profiles.c.policy == policy)
    return int((await connection.execute(statement)).scalar_one())


async def _find(connection: AsyncConnection, policy: str, number: int) -> PublishedProfile | None:
    chosen = select(profiles).where(profiles.c.policy == policy, profiles.c.number == number)
    row = (await connection.execute(chosen)).mappings().first()
    return None if row is None else _profile(row)


def _row(profile: PublishedProfile) -> dict[str, Any]:
    return {
        "policy": profile.policy,
        "number": profile.number,
        "document": profile.text,
        "digest": profile.digest,
        "policy_digest": profile.policy_digest,
        "experiment_id": profile.experiment_id,
        "report": profile.report,
        "created_at": profile.created_at,
        "created_by": profile.created_by,
        "expires_at": profile.expires_at,
    }


def _certificates(document: ProfileDocument, number: int) -> list[dict[str, Any]]:
    return [
        {
            "policy": document.policy,
            "number": number,
            "rule": name,
            "rule_digest": rule.rule_digest,
            "reference": rule.certificate.reference,
            "scope": rule.certificate.scope,
            "method": rule.certificate.method,
            "loss_at_most": rule.certificate.loss_at_most,
            "bound": rule.certificate.bound,
            "confidence": rule.certificate.confidence,
            "labels": rule.certificate.labels,
        }
        for name, rule in document.rules.items()
    ]


def _profile(row: RowMapping) -> PublishedProfile:
    return PublishedProfile(
        policy=row["policy"],
        number=row["number"],
        text=row["document"],
        policy_digest=row["policy_digest"],
        experiment_id=row["experiment_id"],
        report=row["report"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
    )
