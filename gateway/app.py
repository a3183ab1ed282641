"""The gateway process: settings in, a server out."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import uvicorn
from fastapi import FastAPI

from gateway.adapters.key_file import SingleKey, read_or_create
from gateway.errors import ConfigurationError
from gateway.flow.house import House
from gateway.http import health, models, requests
from gateway.http.application import application
from gateway.http.asgi import ASGIApp
from gateway.ports import Upstream
from gateway.settings import Places, Settings, database_url, load
from gateway.store.base import locate
from gateway.store.lookups import FreshRequests, StoredAnswers
from gateway.store.requests import Requests
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.writer import Writer
from gateway.telemetry import AccessLog, Meter, configure_logging
from gateway.wiring import CODECS, SystemClock, UpstreamIdentity, catalog

_log = logging.getLogger(__name__)
_WATCH_S = 1.0
_DRAIN_S = 30
_FLUSH_S = 10.0
_GC_THRESHOLDS = (20_000, 20, 20)


def run(places: Places) -> int:
    """Serve until told to stop; the exit code. Raises ConfigurationError before anything is served."""
    configure_logging(sys.stderr)
    gateway = Gateway(places, os.environ)
    server = uvicorn.Server(
        uvicorn.Config(
            gateway.app,
            host=places.host,
            port=places.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=4096,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_DRAIN_S,
            h11_max_incomplete_event_size=gateway.settings.limits.header_bytes,
        )
    )
    server.run()
    return 0 if server.started else 1


class Gateway:
    """One gateway process, put together; ``app`` is its ASGI application."""

    def __init__(self, places: Places, environment: Mapping[str, str]) -> None:
        self._places = places
        self._environment = environment
        self.settings: Settings = load(places.config)
        url = database_url(places, self.settings)
        places.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = read_or_create(places.default_key_file)
        asyncio.run(upgrade(url))
        database = locate(url)
        self._requests = Requests(database)
        self._writer = Writer(open_sink(database))
        self._upstreams: dict[UpstreamIdentity, Upstream] = {}
        self._reload_error: str | None = None
        self._is_serving = False
        first, self._upstreams = catalog(self.settings, environment, embedded_url=places.embedded_url)
        meter = Meter()
        self.house = House(
            catalog=first,
            codecs=CODECS,
            keys=SingleKey(secret),
            journal=self._writer,
            answers=StoredAnswers(self._requests),
            clock=SystemClock(),
            meter=meter,
            access_log=AccessLog(),
        )
        self._watch_writer(meter)
        self.app: ASGIApp = application(
            self.house,
            [
                models.router(self.house),
                requests.router(self.house, FreshRequests(self._requests, self._writer)),
                health.router(meter, is_serving=lambda: self._is_serving, degraded=self.degraded),
            ],
            lifespan=self._lifespan,
            version=installed_version(),
            allow_origins=self.settings.cors.allow_origins,
        )

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        state = self._writer.state
        states = []
        if state.is_degraded:
            states.append(f"records wait for the database ({state.queued} queued): {state.last_error}")
        if state.dropped:
            states.append(f"{state.dropped} records were lost while the database was away")
        if self._reload_error is not None:
            states.append(f"the changed configuration was refused, the old one serves: {self._reload_error}")
        if not self.house.catalog.models:
            states.append("no model is configured; run 'ponder doctor'")
        return tuple(states)

    def _watch_writer(self, meter: Meter) -> None:
        writer = self._writer
        meter.watch("ponder_records_queued", "Records waiting for the database.", lambda: writer.state.queued)
        meter.watch("ponder_records_written", "Records in the database.", lambda: writer.state.written, is_counter=True)
        meter.watch("ponder_records_dropped", "Records lost.", lambda: writer.state.dropped, is_counter=True)
        meter.watch("ponder_degraded", "1 while something is degraded.", lambda: float(bool(self.degraded())))

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._writer.start()
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
            await self._writer.close(within_s=_FLUSH_S)
            for upstream in self._upstreams.values():
                await upstream.close()
            await self._requests.close()
            self.house.access_log.flush()

    async def _reload_on_change(self) -> None:
        """Apply a changed ponder.yaml, on SIGHUP or within a second of its change: whole or not at all."""
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        seen = self._stamp()
        while True:
            try:
                async with asyncio.timeout(_WATCH_S):
                    await asked.wait()
            except TimeoutError:
                pass
            stamp = self._stamp()
            if asked.is_set() or stamp != seen:
                asked.clear()
                seen = stamp
                self._reload()

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._places.config.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)

    def _reload(self) -> None:
        try:
            settings = load(self._places.config)
            fresh, upstreams = catalog(
                settings, self._environment, embedded_url=self._places.embedded_url, reusable=self._upstreams
            )
        except ConfigurationError as fault:
            self._reload_error = fault.message
            _log.error("the changed configuration was refused and the old one serves on: %s", fault.message)
            return
        retired = [upstream for identity, upstream in self._upstreams.items() if identity not in upstreams]
        self.settings, self._upstreams, self._reload_error = settings, upstreams, None
        self.house.catalog = fresh
        # Requests under way keep the catalog they began with; its connections close when none can be left.
        delay_s = settings.limits.deadline_s
        for upstream in retired:
            asyncio.get_running_loop().call_later(delay_s, lambda gone: asyncio.ensure_future(gone.close()), upstream)
        _log.info("configuration loaded: %d models at %d upstreams", len(fresh.models), len(fresh.upstreams))


def installed_version() -> str:
    """Our version, as installed; ``0`` in a checkout that is not."""
    try:
        return version("ponder")
    except PackageNotFoundError:
        return "0"
