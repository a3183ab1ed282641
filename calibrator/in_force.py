"""The policies that are in force, as the gateways have them: those of the files, save where one was rolled back.

All that is done for a policy begins here, by the worker's ticks and by commands alike: what is measured, verified and
guarded is what decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.adapters.policy_files import PolicyFiles
from gateway.commands.models import NOT_RUNNING_YET
from gateway.domain.provider_key import OpenedKey
from gateway.flow.house import Catalog
from gateway.library import Library
from gateway.policy.document import CalibrateDocument
from gateway.policy.reading import Policy
from gateway.policy.ready import ReadyPolicy
from gateway.ports import Clock
from gateway.settings import Places, Settings
from gateway.steering import put_in_force
from gateway.store.changes import Changes
from gateway.store.policies import PolicyVersions
from gateway.store.provider_keys import ProviderKeys
from gateway.vault import Vault
from gateway.wiring import catalog, encryption_keys


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy that is in force: ready to decide, and what it says of calibrating."""

    ready: ReadyPolicy
    calibrate: CalibrateDocument | None


async def versions_in_force(loaded: Mapping[str, Policy], changes: Changes, clock: Clock) -> Mapping[str, Policy]:
    """What is in force where files say this. Raises ConfigurationError or Unavailable without a database."""
    library = Library(PolicyVersions(changes), clock)
    await library.refresh()
    return library.in_force(loaded)


async def documents_in_force(where: Places, settings: Settings, changes: Changes, clock: Clock) -> Mapping[str, Policy]:
    """Every policy by its name, as it says now. Raises as :func:`versions_in_force`, and for a file at fault."""
    return await versions_in_force(PolicyFiles(where.config).read(settings), changes, clock)


async def policies_in_force(
    where: Places, settings: Settings, environment: Mapping[str, str], changes: Changes, clock: Clock
) -> Mapping[str, InForce]:
    """Every policy by its name. Raises ConfigurationError where files or models are not as they must be."""
    policies = await documents_in_force(where, settings, changes, clock)
    async with offered(where, settings, environment, changes) as found:
        active = put_in_force(policies, found.models, found.defaults, found.verifiers)
    return {name: InForce(active[name].ready, policy.document.calibrate) for name, policy in policies.items()}


@asynccontextmanager
async def offered(
    where: Places, settings: Settings, environment: Mapping[str, str], changes: Changes
) -> AsyncIterator[Catalog]:
    """The models that there are, as the gateway has them, with the keys of providers that the database holds."""
    keys = await _stored_keys(where, settings, environment, changes)
    embedded_url = where.embedded_url or NOT_RUNNING_YET
    found, _ = catalog(settings, environment, embedded_url=embedded_url, stored_keys=keys)
    try:
        yield found
    finally:
        for upstream in found.upstreams.values():
            await upstream.close()


async def _stored_keys(
    where: Places, settings: Settings, environment: Mapping[str, str], changes: Changes
) -> Mapping[str, OpenedKey]:
    if not any(upstream.has_stored_key for upstream in settings.upstreams.values()):
        return {}
    vault = Vault(ProviderKeys(changes), encryption_keys(where, environment))
    await vault.refresh()
    return vault.opened
