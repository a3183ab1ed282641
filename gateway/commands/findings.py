"""What ``ponder doctor`` finds, and the checks that need nothing but this machine."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from gateway.adapters.otel import check_usable, collector_of, is_asked_for
from gateway.adapters.policy_files import PolicyFiles
from gateway.errors import ConfigurationError, PonderError
from gateway.settings import Places, Settings, broker_url, database_url, load
from gateway.store.base import locate
from gateway.store.schema import HEAD, revision
from gateway.tasks import broker_folder, check_broker

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PATIENCE_S = 5.0
_PORTS = {"http": 80, "https": 443}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. ``remedy`` says what to do, unless all is well."""

    level: Level
    check: str
    found: str
    remedy: str = ""


def check_config(where: Places) -> tuple[Settings | None, Finding]:
    """The settings, unless they are wrong."""
    try:
        settings = load(where.config)
    except ConfigurationError as fault:
        return None, Finding(Level.FAIL, "config", fault.message, f"edit {where.config}")
    if not where.config.exists():
        return settings, Finding(Level.OK, "config", f"no {where.config.name}: everything has its default")
    return settings, Finding(Level.OK, "config", f"{where.config} is valid")


def check_policies(where: Places, settings: Settings) -> Finding:
    """The policies must be valid, all of them; what they are worth with these models is `ponder policy check`'s."""
    try:
        policies = PolicyFiles(where.config).read(settings)
    except ConfigurationError as fault:
        return Finding(Level.FAIL, "policies", fault.message, "edit the file that is named")
    return Finding(Level.OK, "policies", f"{', '.join(policies) or 'none'}; {settings.policy} decides for model: auto")


def check_proxies(environment: Mapping[str, str]) -> list[Finding]:
    """Variables that lead other programs through a proxy: nothing to tell where there are none."""
    named = [name for each in _PROXIES for name in (each, each.lower()) if environment.get(name)]
    if not named:
        return []
    found = f"{', '.join(named)}: calls to upstreams and webhooks go straight, and not through a proxy"
    return [Finding(Level.WARN, "proxy", found, "where only a proxy leads out, see Proxies in configure-upstreams.md")]


def check_telemetry(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Where a collector is named: whether spans can be sent, and whether somebody listens there."""
    endpoint = settings.telemetry.otlp_endpoint
    if not is_asked_for(endpoint, environment):
        return []
    try:
        check_usable(environment)
        address = urlsplit(collector_of(endpoint, environment))
        host, port = address.hostname or "", address.port or _PORTS.get(address.scheme, 0)
    except ConfigurationError as fault:
        return [Finding(Level.FAIL, "telemetry", fault.message, "the gateway does not start with this")]
    except ValueError:
        return [Finding(Level.FAIL, "telemetry", "the collector's address cannot be read", "write http://HOST:PORT")]
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_S).close()
    except OSError as fault:
        found = f"nobody listens at {host}:{port} ({fault.strerror or type(fault).__name__}); spans are lost meanwhile"
        return [Finding(Level.WARN, "telemetry", found, "start the collector, or correct its address")]
    return [Finding(Level.OK, "telemetry", f"spans and measures go to {host}:{port}")]


def check_home(where: Places) -> Finding:
    """PONDER_HOME holds keys and records: it should be its owner's alone."""
    home = where.home
    if not home.exists():
        return Finding(Level.OK, "home", f"{home} will be made at the first start")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(Level.FAIL, "home", f"{home} is not a folder that we can write to", "set PONDER_HOME to one")
    if home.stat().st_mode & _OTHERS:
        return Finding(Level.WARN, "home", f"{home} is open to other users", f"chmod 700 {home}")
    return Finding(Level.OK, "home", f"{home} is ours alone")


def check_key_files(where: Places) -> list[Finding]:
    """What PONDER_HOME holds in secrets; the encryption key is there once a provider key was stored."""
    checks = [
        _check_key_file("key", where.default_key_file),
        _check_key_file("admin key", where.admin_key_file),
        _check_key_file("pepper", where.pepper_file),
    ]
    if where.encryption_key_file.exists():
        checks.append(_check_key_file("encryption key", where.encryption_key_file))
    return checks


def _check_key_file(check: str, path: Path) -> Finding:
    """It must hold something, and be readable by its owner alone."""
    try:
        mode, is_empty = path.stat().st_mode, not path.read_text("utf-8").strip()
    except FileNotFoundError:
        return Finding(Level.OK, check, f"{path} will be made at the first start")
    except OSError as fault:
        return Finding(Level.FAIL, check, f"{path} cannot be read: {fault.strerror}", f"make it ours: chown {path}")
    if mode & _OTHERS:
        return Finding(Level.FAIL, check, f"{path} can be read by others", f"chmod 600 {path}")
    if is_empty:
        return Finding(Level.FAIL, check, f"{path} is empty", "remove it; a new one is made at the next start")
    return Finding(Level.OK, check, f"{path} is readable by us alone")


async def check_database(where: Places, settings: Settings) -> Finding:
    """The database must be reachable; its schema is brought up to date by the next start."""
    url = database_url(where, settings)
    if is_to_be_made(where, url):
        return Finding(Level.OK, "database", "SQLite in PONDER_HOME, made at the first start")
    try:
        label, stored = locate(url).label, await revision(url)
    except ConfigurationError as fault:
        return Finding(Level.FAIL, "database", fault.message, "correct PONDER_DATABASE_URL or database.url")
    except PonderError as fault:
        return Finding(Level.FAIL, "database", fault.message, "start the database, or correct its address")
    if stored is None or stored < HEAD:
        return Finding(
            Level.WARN,
            "database",
            f"{label} is at revision {stored or 'none'}, this release at {HEAD}",
            "ponder db upgrade (or leave it to the next start)",
        )
    return Finding(Level.OK, "database", f"{label} is at revision {stored}")


def is_to_be_made(where: Places, url: str) -> bool:
    """Whether this is the embedded database before its first start; connecting would make it."""
    file = where.home / "ponder.db"
    return url.endswith(str(file)) and not file.exists()


def check_ticks(where: Places, settings: Settings) -> Finding:
    """The broker, through which beat and worker speak."""
    if broker_url(where, settings) is None:
        folder = broker_folder(where)
        if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return Finding(Level.FAIL, "broker", f"{folder} cannot be written to", f"make it ours: chown -R {folder}")
        return Finding(Level.OK, "broker", f"{folder}, a folder")
    try:
        check_broker(where, settings)
    except PonderError as fault:
        return Finding(Level.FAIL, "broker", fault.message, "start it, or correct PONDER_BROKER_URL or broker.url")
    return Finding(Level.OK, "broker", "can be reached")
