"""``ponder doctor``: says what works, what does not, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

import click

from gateway.adapters import embedded_model
from gateway.adapters.webhook import Webhook
from gateway.commands.findings import (
    Finding,
    Level,
    check_config,
    check_database,
    check_home,
    check_key_files,
    check_policies,
    check_proxies,
    check_telemetry,
    check_ticks,
    is_to_be_made,
)
from gateway.commands.models import NOT_RUNNING_YET
from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.running import get, url_of
from gateway.domain.provider_key import OpenedKey
from gateway.errors import ConfigurationError, DeliveryFailed, PonderError, UpstreamDenied, UpstreamRefused
from gateway.flow.house import Catalog
from gateway.model_settings import UpstreamSettings
from gateway.ports import Upstream
from gateway.settings import Places, Settings, database_url, places
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.provider_keys import ProviderKeys
from gateway.vault import Vault
from gateway.wiring import catalog, encryption_keys, make_webhooks, with_hosted

_PATIENCE_S = 5.0
_NAMES_SHOWN = 3


@runtime_checkable
class ListsModels(Protocol):
    """An upstream that can be asked what it serves."""

    async def model_names(self, *, timeout_s: float) -> tuple[str, ...]:
        """The upstream's own names. Raises UpstreamError."""
        ...


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check configuration, keys, database, broker and upstreams; exit code 1 if something fails."""
    findings = asyncio.run(examine(places(os.environ), os.environ))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [{"": f.level.value, "check": f.check, "found": f.found, "what to do": f.remedy} for f in findings]
        print_rows(("", "check", "found", "what to do"), rows)
    sys.exit(any(finding.level is Level.FAIL for finding in findings))


async def examine(where: Places, environment: Mapping[str, str]) -> list[Finding]:
    """Everything that can be checked, in the order in which a start needs it."""
    settings, config = check_config(where)
    findings = [config, check_home(where), *check_key_files(where)]
    if settings is None:
        return findings
    findings += check_proxies(environment)
    findings += [check_policies(where, settings), await check_database(where, settings), check_ticks(where, settings)]
    whole = with_hosted(settings, environment, where.embedded_url)
    if whole.upstreams:
        stored = await _stored_keys(where, settings, environment)
        findings += await asyncio.gather(
            *(_check_upstream(name, upstream, environment, stored) for name, upstream in whole.upstreams.items())
        )
    else:
        findings.append(_check_embedded())
    findings += await _check_webhooks(settings, environment)
    findings += await asyncio.to_thread(check_telemetry, settings, environment)
    findings += _check_models(settings, environment, where)
    findings.append(await asyncio.to_thread(_check_running, where))
    return findings


async def _stored_keys(
    where: Places, settings: Settings, environment: Mapping[str, str]
) -> tuple[Mapping[str, OpenedKey], Mapping[str, str]]:
    """The stored keys that can be opened, and why the others of the configuration cannot."""
    names = [name for name, upstream in settings.upstreams.items() if upstream.has_stored_key]
    url = database_url(where, settings)
    if not names or is_to_be_made(where, url):
        return {}, {}
    try:
        changes = Changes(locate(url))
        try:
            vault = Vault(ProviderKeys(changes), encryption_keys(where, environment))
            await vault.refresh()
        finally:
            await changes.close()
    except PonderError as fault:
        return {}, dict.fromkeys(names, fault.message)
    return vault.opened, vault.faults


async def _check_upstream(
    name: str,
    settings: UpstreamSettings,
    environment: Mapping[str, str],
    stored: tuple[Mapping[str, OpenedKey], Mapping[str, str]],
) -> Finding:
    check, variable = f"upstream {name}", settings.api_key_env
    own = {variable: environment[variable]} if variable is not None and variable in environment else {}
    opened, faults = stored
    if settings.has_stored_key and name not in opened:
        found = faults.get(name) or "no key is stored for it"
        return Finding(Level.FAIL, check, found, f"ponder provider-keys set {name}")
    try:
        alone, _ = catalog(Settings(upstreams={name: settings}), own, embedded_url=None, stored_keys=opened)
    except ConfigurationError as fault:
        return Finding(Level.FAIL, check, fault.message, f"set {variable}" if variable else "edit ponder.yaml")
    upstream: Upstream = alone.upstreams[name]
    try:
        if not isinstance(upstream, ListsModels):
            return Finding(Level.OK, check, "its key is set; whether it is accepted shows at the first call")
        names = await upstream.model_names(timeout_s=_PATIENCE_S)
    except (UpstreamDenied, UpstreamRefused) as fault:
        remedy = f"check the key in {variable}" if variable else "it may want a key: set api_key_env"
        if settings.has_stored_key:
            remedy = f"check its stored key: ponder provider-keys set {name}"
        return Finding(Level.FAIL, check, fault.message, remedy)
    except PonderError as fault:
        return Finding(Level.FAIL, check, fault.message, "start it, or correct its base_url")
    finally:
        await upstream.close()
    listed = ", ".join(names[:_NAMES_SHOWN]) + (", …" if names[_NAMES_SHOWN:] else "")
    return Finding(Level.OK, check, f"answers, and lists {len(names)} models: {listed}")


async def _check_webhooks(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Each must be complete and reachable; it is sent nothing."""
    try:
        webhooks = make_webhooks(settings, environment)
    except ConfigurationError as fault:
        return [Finding(Level.FAIL, "webhooks", fault.message, "set its variable, or edit ponder.yaml")]
    return list(await asyncio.gather(*(_check_webhook(webhook) for webhook in webhooks)))


async def _check_webhook(webhook: Webhook) -> Finding:
    try:
        await webhook.probe(within_s=_PATIENCE_S)
    except DeliveryFailed as fault:
        return Finding(Level.WARN, "webhook", fault.message, "start it, or correct its url; messages wait for a day")
    return Finding(Level.OK, "webhook", f"{webhook.label} can be reached; its answer shows at the first message")


def _check_embedded() -> Finding:
    try:
        file = embedded_model.model_file()
    except ConfigurationError as fault:
        return Finding(Level.FAIL, "embedded model", fault.message, "see left; any one of the three will do")
    return Finding(Level.OK, "embedded model", f"{file.name} is installed; `ponder up` serves it")


def _check_models(settings: Settings, environment: Mapping[str, str], where: Places) -> list[Finding]:
    try:
        offered, _ = catalog(settings, environment, embedded_url=where.embedded_url or NOT_RUNNING_YET)
    except ConfigurationError as fault:
        return [Finding(Level.FAIL, "models", fault.message, "edit ponder.yaml")]
    return [_check_prices(settings, offered)]


def _check_prices(settings: Settings, offered: Catalog) -> Finding:
    unpriced = [name for name, model in sorted(offered.models.items()) if model.price is None]
    if not unpriced:
        return Finding(Level.OK, "models", f"{len(offered.models)} offered, all with a price")
    names = ", ".join(unpriced[:_NAMES_SHOWN]) + (", …" if unpriced[_NAMES_SHOWN:] else "")
    return Finding(
        Level.WARN if settings.allow_unpriced else Level.FAIL,
        "models",
        f"{len(unpriced)} of {len(offered.models)} have no price: {names}",
        "set models.NAME.price in ponder.yaml" + ("" if settings.allow_unpriced else "; until then they are refused"),
    )


def _check_running(where: Places) -> Finding:
    try:
        health = get(where, "/health/ready", "")
    except PonderError as fault:
        return Finding(Level.WARN, "gateway", fault.message, "ponder up")
    states = health.get("degraded") or []
    if states:
        return Finding(Level.WARN, "gateway", "; ".join(map(str, states)), "see its log")
    return Finding(Level.OK, "gateway", f"answers at {url_of(where)}")
