"""What the admin routes share: the stores they work on, who calls, and what that caller may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from gateway.adapters.encryption_keys import EncryptionKeys
from gateway.domain.key import Key, Role
from gateway.domain.limits import Period
from gateway.domain.policy_version import Activation
from gateway.domain.secret import Pepper
from gateway.domain.tenancy import Author
from gateway.errors import Forbidden, InvalidRequest, Unauthenticated
from gateway.http.admin.gate import CALLER
from gateway.http.openapi import refusals
from gateway.policy.cases import CasesDocument
from gateway.policy.reading import Policy
from gateway.ports import Clock
from gateway.store.changes import Changes
from gateway.store.experiments import Experiments
from gateway.store.keys import Keys
from gateway.store.measurements import Measurements
from gateway.store.policies import PolicyVersions
from gateway.store.profiles import Profiles
from gateway.store.provider_keys import ProviderKeys
from gateway.store.reconciliations import Reconciliations
from gateway.store.requests import Requests
from gateway.store.rollouts import Rollouts
from gateway.store.teams import Teams


@dataclass(frozen=True, slots=True)
class Desk:
    """Where administration is done.

    ``policies`` are those in force in this process, ``verifiers`` the names of those that are configured, and
    ``open_requests`` counts the requests under way here, ``degraded`` tells what is not as it should be, and
    ``cases`` reads those beside a policy's file. ``refresh`` makes a change known here at once, and ``recount``
    what an account has spent in a period that it had no budget for.
    """

    keys: Keys
    teams: Teams
    changes: Changes
    requests: Requests
    provider_keys: ProviderKeys
    policy_versions: PolicyVersions
    policies: Callable[[], Mapping[str, Policy]]
    activation_of: Callable[[str], Activation | None]
    profiles: Profiles
    rollouts: Rollouts
    experiments: Experiments
    measurements: Measurements
    encryption: EncryptionKeys
    pepper: Pepper
    clock: Clock
    refresh: Callable[[], Awaitable[None]]
    recount: Callable[[str, Period], Awaitable[None]]
    reconciliations: Reconciliations
    open_requests: Callable[[], int]
    degraded: Callable[[], tuple[str, ...]]
    cases: Callable[[str], CasesDocument | None]
    verifiers: Callable[[], Collection[str]]

    def check_policy(self, name: str | None) -> None:
        """Raises InvalidRequest for a policy that is not in force here, with those that are."""
        names = sorted(self.policies())
        if name is not None and name not in names:
            raise InvalidRequest(
                f"there is no policy {name!r}; there are: {', '.join(names) or 'none'}", param="policy"
            )


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _at_least(role: Role) -> Callable[[Request], Awaitable[Author]]:
    async def author(request: Request) -> Author:
        key: Key | None = request.scope.get(CALLER)
        if key is None or key.role is None:
            raise Unauthenticated("no API key with a role was sent")
        if not key.role.covers(role):
            raise Forbidden(f"this takes the role {role}; the key that was sent has the role {key.role}")
        return Author(key.id, key.role, _desk(request).clock.now())

    return author


async def _uncached(response: Response) -> None:
    response.headers["cache-control"] = "no-store"


AtDesk = Annotated[Desk, Depends(_desk)]
Viewer = Annotated[Author, Depends(_at_least(Role.VIEWER))]
Operator = Annotated[Author, Depends(_at_least(Role.OPERATOR))]
Admin = Annotated[Author, Depends(_at_least(Role.ADMIN))]

UNCACHED = [Depends(_uncached)]
"""For every router: neither secrets nor spending belong into a proxy's cache."""

REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}$"
"""An id or a name. Names hold no slash, so that each can stand in a path."""

Reference = Annotated[str, Path(pattern=REFERENCE, description="An id, or the name of one that is still in use.")]
Id = Annotated[str | None, Query(pattern=REFERENCE)]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]

REFUSALS = refusals(
    {
        400: "The request is invalid; the message says what would be accepted",
        401: "No API key, or one that is unknown, revoked or expired",
        403: "The key's role does not suffice; the message names the one that does",
        404: "No such thing",
        409: "It does not go together with what is there",
        413: "The body is larger than 65536 bytes",
        503: "The database is away; nothing was changed",
    }
)
