"""The gateway process: settings in, a server out."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import uvicorn
from fastapi import FastAPI

from gateway.adapters.config_file import ConfigFile
from gateway.adapters.home_lock import serving_from
from gateway.adapters.journal.journal import JournalTerms, LocalJournal, OnFullDisk
from gateway.errors import ConfigurationError
from gateway.flow.house import Catalog, House
from gateway.flow.lane import Lanes
from gateway.http import health, models, requests
from gateway.http.admin.desk import Desk
from gateway.http.application import application
from gateway.http.asgi import ASGIApp
from gateway.http.server import bounded_protocol
from gateway.ports import Upstream
from gateway.settings import Places, Settings, database_url, load, needs_restart
from gateway.store.balances import Balances
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.key_ring import StoredKeyRing
from gateway.store.keys import Keys
from gateway.store.lookups import FreshRequests, StoredAnswers
from gateway.store.records import Records
from gateway.store.registration import register
from gateway.store.requests import Requests
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.teams import Teams
from gateway.telemetry import AccessLog, Meter, configure_logging
from gateway.treasury import Treasury
from gateway.wiring import CODECS, HomeSecrets, SystemClock, UpstreamIdentity, catalog, home_secrets

_log = logging.getLogger(__name__)
_BACKLOG = 4096
_DRAIN_S = 30
_FLUSH_S = 10.0
_SETTLE_S = 5.0
_GC_THRESHOLDS = (20_000, 20, 20)


def run(places: Places) -> int:
    """Serve until told to stop; the exit code. Raises ConfigurationError before anything is served."""
    configure_logging(sys.stderr)
    gateway = Gateway(places, os.environ)
    _allow_open_files(gateway.settings.limits.connections)
    server = _Server(
        uvicorn.Config(
            gateway.app,
            host=places.host,
            port=places.port,
            loop="uvloop",
            http=bounded_protocol(gateway.settings.limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_DRAIN_S,
        ),
        gateway.house,
    )
    # Bound by us when there are two addresses: uvicorn binds one. A request tells by which it came.
    addresses = [(places.host, places.port), places.admin_address]
    # uvicorn raises the signal that ended it once more when it is done; after an orderly end that is no news.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with serving_from(places.home, shares_limits=gateway.shares_limits):
        server.run([bound for each in addresses for bound in _listen(*each)] if places.admin_port else None)
    return 0 if server.started else 1


def _allow_open_files(connections: int) -> None:
    """Use all the open files that the system grants: common defaults are for programs with few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Each client's connection may lead to one to an upstream.
    if hard != resource.RLIM_INFINITY and hard < 2 * connections:
        _log.warning(
            "limits.connections is %d, and the system grants %d open files; raise them (ulimit -n) to %d, or lower it",
            connections, hard, 2 * connections,
        )  # fmt: skip


class _Server(uvicorn.Server):
    """uvicorn's server, which cancels requests that have not ended when the time to drain is over.

    They are told beforehand that it is not their clients who left.
    """

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order; what is under way is given its time."""
        telling = asyncio.get_running_loop().call_later(self.config.timeout_graceful_shutdown or 0, self._tell)
        try:
            await super().shutdown(sockets)
        finally:
            telling.cancel()

    def _tell(self) -> None:
        self._house.is_stopping = True


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of the host. Raises ConfigurationError when one of them cannot be had."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [
            socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            for family, address in dict.fromkeys((each[0], each[4]) for each in found)
        ]
    except OSError as fault:
        raise ConfigurationError(f"cannot listen on {host}:{port} ({fault.strerror}); choose another") from fault


class Gateway:
    """One gateway process, put together; ``app`` is its ASGI application."""

    def __init__(self, places: Places, environment: Mapping[str, str]) -> None:
        self._places = places
        self._environment = environment
        self._config_file = ConfigFile(places.config)
        self._has_config_file = places.config.exists()
        self.settings = self._settings_at_start = load(places.config)
        url = database_url(places, self.settings)
        places.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        secrets = home_secrets(places, environment)
        _log.info("keys to begin with: %s, and for /admin %s", places.default_key_file, places.admin_key_file)
        asyncio.run(_prepare(url, secrets, accepts_new_pepper=environment.get("PONDER_ACCEPT_NEW_PEPPER") == "1"))
        database = locate(url)
        self._changes = Changes(database)
        self._keys = StoredKeyRing(self._changes, secrets.pepper, secrets.admin, max_age_s=self.settings.keys.max_age_s)
        self._requests = Requests(database)
        terms = JournalTerms(on_full_disk=OnFullDisk(self.settings.journal.on_full_disk))
        self._journal = LocalJournal(places.journal, Records(open_sink(database)), terms)
        self._upstreams: dict[UpstreamIdentity, Upstream] = {}
        self._reload_error: str | None = None
        self._is_serving = False
        first, self._upstreams = catalog(self.settings, environment, embedded_url=places.embedded_url)
        meter = Meter()
        clock = SystemClock()
        redis_url = places.redis_url or self.settings.redis.url
        self._treasury = Treasury(self.settings.redis, redis_url, clock, Balances(database), self._journal)
        self.house = House(
            catalog=first,
            codecs=CODECS,
            keys=self._keys,
            journal=self._journal,
            purse=self._treasury.purse,
            settlements=self._treasury.settlements,
            lanes=Lanes(clock),
            answers=StoredAnswers(self._requests),
            clock=clock,
            meter=meter,
            access_log=AccessLog(),
        )
        self._watch(meter)
        self.app = self._application(secrets)

    def _application(self, secrets: HomeSecrets) -> ASGIApp:
        return application(
            self.house,
            Desk(
                keys=Keys(self._changes),
                teams=Teams(self._changes),
                changes=self._changes,
                requests=self._requests,
                pepper=secrets.pepper,
                clock=self.house.clock,
                refresh=self._keys.refresh,
                recount=self._treasury.recount,
            ),
            [
                models.router(self.house),
                requests.router(self.house, FreshRequests(self._requests, self._journal)),
                health.router(self.house.meter, is_serving=lambda: self._is_serving, degraded=self.degraded),
            ],
            lifespan=self._lifespan,
            version=installed_version(),
            allow_origins=self.settings.cors.allow_origins,
            admin_port=self._places.admin_port,
        )

    @property
    def shares_limits(self) -> bool:
        """Whether limits and money are in Redis, for all gateway processes together."""
        return self._treasury.is_shared

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        states = [*self._journal.state.degraded(), *self._treasury.degraded()]
        keys = self._keys.state
        if keys.last_error is not None:
            serving = "every request is refused" if keys.is_shut else "those last read serve on"
            states.append(f"keys cannot be read from the database, {serving}: {keys.last_error}")
        if self._reload_error is not None:
            states.append(f"the changed configuration was refused, the old one serves: {self._reload_error}")
        if waiting := needs_restart(self._settings_at_start, self.settings):
            states.append(f"changes that take effect at the next start: {', '.join(waiting)}")
        if not self.house.catalog.models:
            states.append("no model is configured; run 'ponder doctor'")
        return tuple(states)

    def _watch(self, meter: Meter) -> None:
        """Expose what others keep count of."""
        journal, house = self._journal, self.house
        self._treasury.watch(meter)
        house.lanes.watch(meter)
        lost = "Lines of the request log that could not be written."
        meter.watch("ponder_log_lines_lost", lost, lambda: house.access_log.lost, is_counter=True)
        meter.watch("ponder_keys_age_seconds", "Since keys were last read.", lambda: self._keys.state.age_s)
        meter.watch("ponder_records_queued", "Records waiting for the database.", lambda: journal.waiting)
        for name, what, read in (
            ("written", "Records in the database.", lambda: journal.state.moved),
            ("dropped", "Records lost.", lambda: journal.state.lost),
            ("refused", "Records that the database cannot hold.", lambda: journal.state.refused),
            ("damaged", "Damaged places passed over in the journal.", lambda: journal.state.damaged),
            ("interrupted", "Requests that an ended process left open.", lambda: journal.state.interrupted),
        ):
            meter.watch(f"ponder_records_{name}", what, read, is_counter=True)
        for name, what, read in (
            ("unrecorded", "Requests served while the journal could not be written.", lambda: journal.state.unopened),
            (
                "turned_away",
                "Requests refused because the journal could not be written.",
                lambda: journal.state.turned_away,
            ),
        ):
            meter.watch(f"ponder_requests_{name}", what, read, is_counter=True)
        meter.watch("ponder_degraded", "1 while something is degraded.", lambda: float(bool(self.degraded())))

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        await self._keys.start()
        self._journal.start()
        await self._treasury.start()
        self.house.purse, self.house.settlements = self._treasury.purse, self._treasury.settlements
        reloading = asyncio.create_task(self._reload_on_change())
        self._is_serving = True
        # What start-up made stays: freezing it keeps full collections short, and collecting less
        # often keeps them rare. Requests make little cyclic garbage.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        try:
            yield
        finally:
            self._is_serving = False
            reloading.cancel()
            await self._keys.close()
            await self._treasury.close(within_s=_SETTLE_S)
            await self._journal.close(within_s=_FLUSH_S)
            for upstream in self._upstreams.values():
                await upstream.close()
            await self._requests.close()
            await self._changes.close()
            self.house.access_log.flush()

    async def _reload_on_change(self) -> None:
        """Apply a changed ponder.yaml, on SIGHUP or within about a second of its change: whole or not at all."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._config_file.ask)
        async for _ in self._config_file.changes():
            try:
                # Reading takes tens of milliseconds, in which streams must not stand still.
                settings, fresh, upstreams = await asyncio.to_thread(self._read_configuration)
            except ConfigurationError as fault:
                self._reload_error = fault.message
                _log.error("the changed configuration was refused and the old one serves on: %s", fault.message)
                continue
            self._apply(settings, fresh, upstreams)

    def _read_configuration(self) -> tuple[Settings, Catalog, dict[UpstreamIdentity, Upstream]]:
        settings = load(self._places.config, must_exist=self._has_config_file)
        fresh, upstreams = catalog(
            settings, self._environment, embedded_url=self._places.embedded_url, reusable=self._upstreams
        )
        return settings, fresh, upstreams

    def _apply(self, settings: Settings, fresh: Catalog, upstreams: dict[UpstreamIdentity, Upstream]) -> None:
        retired = [upstream for identity, upstream in self._upstreams.items() if identity not in upstreams]
        # Requests under way keep the catalog they began with; its connections close when none can be left.
        delay_s = self.settings.limits.deadline_s
        for upstream in retired:
            asyncio.get_running_loop().call_later(delay_s, lambda gone: asyncio.ensure_future(gone.close()), upstream)
        self.settings, self._upstreams, self._reload_error = settings, upstreams, None
        self._has_config_file = self._places.config.exists()
        self.house.catalog = fresh
        _log.info("configuration loaded: %d models at %d upstreams", len(fresh.models), len(fresh.upstreams))


async def _prepare(url: str, secrets: HomeSecrets, *, accepts_new_pepper: bool) -> None:
    """Bring the database to this release, and make it know this machine's first key."""
    await upgrade(url)
    changes = Changes(locate(url))
    try:
        await register(changes, secrets.pepper, secrets.default, now=time.time(), accepts_new_pepper=accepts_new_pepper)
    finally:
        await changes.close()


def installed_version() -> str:
    """Our version, as installed; ``0`` in a checkout that is not."""
    try:
        return version("ponder")
    except PackageNotFoundError:
        return "0"
