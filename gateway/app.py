"""The gateway put together: settings in, an ASGI application out."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from gateway.adapters.config_file import ConfigFile
from gateway.adapters.graders.grading import Graders
from gateway.adapters.journal.journal import JournalTerms, LocalJournal, OnFullDisk
from gateway.adapters.llm_classifier import LlmJudge
from gateway.adapters.policy_files import PolicyFiles
from gateway.adapters.thinking import actuate
from gateway.adapters.vllm_load import VllmLoads
from gateway.background.lane import BackgroundLane
from gateway.bookkeeper import Bookkeeper
from gateway.clock import SystemClock
from gateway.difficulty.classifier import Learned
from gateway.errors import ConfigurationError
from gateway.flow.asking import HouseAsker
from gateway.flow.drive import FanOut
from gateway.flow.health import HealthWatch
from gateway.flow.house import Catalog, House
from gateway.flow.lane import Lanes
from gateway.flow.salts import Salts
from gateway.herald import Herald
from gateway.http import feedback, health, models, requests
from gateway.http.admin.desk import Desk
from gateway.http.application import application
from gateway.http.asgi import ASGIApp
from gateway.http.dashboard.application import Looks, open_dashboard
from gateway.library import Library
from gateway.listings import Listings
from gateway.memory import Memory
from gateway.policy.reading import Policy
from gateway.ports import Clock, Upstream
from gateway.profiles import ProfilesInForce
from gateway.settings import Places, Settings, database_url, load, needs_restart
from gateway.steering import put_in_force, with_profiles
from gateway.store.balances import Balances
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.key_ring import StoredKeyRing
from gateway.store.keys import Keys
from gateway.store.lookups import FreshRequests, StoredAnswers
from gateway.store.measurements import Measurements
from gateway.store.outcomes import Outcomes
from gateway.store.policies import PolicyVersions
from gateway.store.profiles import Profiles
from gateway.store.provider_keys import ProviderKeys
from gateway.store.reconciliations import Reconciliations
from gateway.store.records import Records
from gateway.store.registration import register
from gateway.store.requests import Requests
from gateway.store.rollouts import Rollouts
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.teams import Teams
from gateway.store.timings import Timings
from gateway.telemetry import AccessLog, Meter
from gateway.treasury import Treasury
from gateway.vault import Vault
from gateway.wiring import (
    CODECS,
    HomeSecrets,
    UpstreamIdentity,
    catalog,
    home_secrets,
    make_tracer,
    make_webhooks,
)

_log = logging.getLogger(__name__)
_FLUSH_S = 10.0
_SETTLE_S = 5.0
_JOBS_S = 5.0
"""Background jobs that take longer to end are put back, for the next start or another process."""
_OUTCOME_CONNECTIONS = 2
_GC_THRESHOLDS = (20_000, 20, 20)


class Gateway:
    """One gateway process, put together; ``app`` is its ASGI application."""

    def __init__(self, places: Places, environment: Mapping[str, str]) -> None:
        self._places = places
        self._environment = environment
        self._policy_files = PolicyFiles(places.config)
        self._config_file = ConfigFile(places.config, beside=self._policy_files.stamp)
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
        self._vault = Vault(ProviderKeys(self._changes), secrets.encryption)
        self._library = Library(PolicyVersions(self._changes), SystemClock())
        self._library.adopt(self._policy_files.read(self.settings))
        self._profiles = ProfilesInForce(self._changes)
        self._listings = Listings()
        self._requests = Requests(database)
        self._outcome_connections = Connections(database, most=_OUTCOME_CONNECTIONS)
        self._looks = Looks.at(url)
        terms = JournalTerms(on_full_disk=OnFullDisk(self.settings.journal.on_full_disk))
        self._journal = LocalJournal(places.journal, Records(open_sink(database)), terms)
        self._upstreams: dict[UpstreamIdentity, Upstream] = {}
        self._reload_error: str | None = None
        self._is_serving = False
        first, self._upstreams = self._catalog(self.settings, self._library.policies)
        meter, clock = Meter(), SystemClock()
        redis_url = places.redis_url or self.settings.redis.url
        self._memory = Memory(redis_url, clock, Timings(database))
        balances = Balances(database)
        self._treasury = Treasury(self.settings.redis, redis_url, clock, balances, self._journal)
        self._reconciliations = Reconciliations(database)
        self._bookkeeper = Bookkeeper(lambda: self.house.purse, clock, balances, self._journal, self._reconciliations)
        self._graders = Graders(self.settings.graders)
        self.house = self._house(first, meter, clock, secrets)
        self._herald = Herald(database, self.house, clock, make_webhooks(self.settings, environment))
        self.house.judge = LlmJudge(HouseAsker(self.house))
        self._watch(meter)
        self._background = BackgroundLane(database, self.house, self._keys, self.settings.background)
        self.app = self._application(secrets)

    def _house(self, first: Catalog, meter: Meter, clock: Clock, secrets: HomeSecrets) -> House:
        """What serving needs, with the parts that this process has made."""
        return House(
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
            think=actuate,
            health=HealthWatch(clock),
            latencies=self._memory.latencies,
            sticky=self._memory.sticky,
            classify=Learned.load(),
            salts=Salts(secrets.pepper.digest("cache salt")),
            graders=self._graders,
            loads=VllmLoads(lambda: self.house.catalog.upstreams, clock),
            fan_out=FanOut(self.settings.limits.draws_per_request, self.settings.limits.draws),
            tracer=make_tracer(self.settings, self._environment, installed_version()),
        )

    def _application(self, secrets: HomeSecrets) -> ASGIApp:
        log, outcomes = FreshRequests(self._requests, self._journal), Outcomes(self._outcome_connections)
        desk = self._desk(secrets)
        return application(
            self.house,
            desk,
            [
                models.router(self.house),
                requests.router(self.house, log, outcomes),
                feedback.router(self.house, log, outcomes),
                health.router(self.house.meter, is_serving=self._takes_requests, degraded=self.degraded),
                *self._background.routers,
            ],
            lifespan=self._lifespan,
            version=installed_version(),
            allow_origins=self.settings.cors.allow_origins,
            admin_port=self._places.admin_port,
            dashboard=open_dashboard(self.house, desk, self._keys, self._looks, log=log, outcomes=outcomes),
            intake=self._background.intake,
        )

    def _desk(self, secrets: HomeSecrets) -> Desk:
        return Desk(
            keys=Keys(self._changes),
            teams=Teams(self._changes),
            changes=self._changes,
            requests=self._requests,
            provider_keys=ProviderKeys(self._changes),
            policy_versions=PolicyVersions(self._changes),
            policies=lambda: self._library.policies,
            activation_of=self._library.activation_of,
            profiles=Profiles(self._changes),
            rollouts=Rollouts(self._changes),
            experiments=Experiments(self._outcome_connections),
            measurements=Measurements(self._outcome_connections),
            encryption=secrets.encryption,
            pepper=secrets.pepper,
            clock=self.house.clock,
            refresh=self._refresh,
            recount=self._treasury.recount,
            reconciliations=self._reconciliations,
            open_requests=lambda: self.house.settlements.open_holds,
            degraded=self.degraded,
            cases=self._policy_files.cases,
            verifiers=lambda: self.house.catalog.verifiers,
        )

    @property
    def shares_limits(self) -> bool:
        """Whether limits and money are in Redis, for all gateway processes together."""
        return self._treasury.is_shared

    def _takes_requests(self) -> bool:
        """Whether balancers may send requests here: no more from the moment in which we are told to stop."""
        return self._is_serving and not self.house.is_leaving

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        states = [*self._journal.state.degraded(), *self._treasury.degraded(), *self._library.degraded()]
        states += self._profiles.degraded()
        states += [*self._vault.degraded(self.settings), *self._background.degraded(), *self._herald.degraded()]
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
        house = self.house
        self._journal.watch(meter)
        self._treasury.watch(meter)
        self._herald.watch(meter)
        self._bookkeeper.watch(meter)
        self._library.watch(meter)
        self._profiles.watch(meter)
        house.lanes.watch(meter)
        house.health.watch(meter)
        self._memory.watch(meter)
        lost = "Lines of the request log that could not be written."
        meter.watch("ponder_log_lines_lost", lost, lambda: house.access_log.lost, is_counter=True)
        meter.watch("ponder_keys_age_seconds", "Since keys were last read.", lambda: self._keys.state.age_s)
        meter.watch("ponder_degraded", "1 while something is degraded.", lambda: float(bool(self.degraded())))

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        await self._keys.start()
        await self._vault.start(on_change=self._config_file.ask)
        await self._library.start(on_change=self._config_file.ask)
        if self._vault.opened or self._library.rolled_back:
            self._take_up(*self._catalog(self.settings, self._library.policies))
        await self._profiles.start(on_change=self._use_profiles)
        self._use_profiles()
        self._listings.ask(self.house.catalog.upstreams, self._config_file.ask)
        self._journal.start()
        await self._treasury.start()
        await self._memory.start()
        self.house.sticky = self._memory.sticky
        self.house.purse, self.house.settlements = self._treasury.purse, self._treasury.settlements
        self._bookkeeper.start()
        self._background.start()
        self._herald.start()
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
            await self._background.close(within_s=_JOBS_S)
            await self._herald.close(within_s=_SETTLE_S)
            await self._keys.close()
            await self._vault.close()
            await self._library.close()
            await self._profiles.close()
            await self._listings.close()
            await self._bookkeeper.close()
            await self._treasury.close(within_s=_SETTLE_S)
            await self._memory.close()
            await self._journal.close(within_s=_FLUSH_S)
            for upstream in self._upstreams.values():
                await upstream.close()
            await self._graders.close()
            await self._requests.close()
            await self._outcome_connections.close()
            await self._looks.close()
            await self._changes.close()
            self.house.access_log.flush()
            if self.house.tracer is not None:
                await asyncio.to_thread(self.house.tracer.close)

    async def _reload_on_change(self) -> None:
        """Apply a changed ponder.yaml or policy, on SIGHUP or within about a second: whole or not at all.

        Changed keys of upstreams come this way too, and are taken up whatever is wrong with the file.
        """
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._config_file.ask)
        async for _ in self._config_file.changes():
            try:
                await self._reload()
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end reloading
                _log.exception("the changed configuration could not be taken up")
                self._reload_error = f"unexpected {type(fault).__name__}, told in the log"

    async def _reload(self) -> None:
        try:
            # Reading takes tens of milliseconds, in which streams must not stand still.
            settings, policies, fresh, upstreams = await asyncio.to_thread(self._read_configuration)
            webhooks = make_webhooks(settings, self._environment)
        except ConfigurationError as fault:
            self._reload_error = fault.message
            _log.error("the changed configuration was refused and the old one serves on: %s", fault.message)
            self._take_up(*await asyncio.to_thread(self._catalog, self.settings, self._library.policies))
            return
        self._library.adopt(policies)
        self._take_up(fresh, upstreams)
        self._herald.tell(webhooks)
        self.settings, self._reload_error = settings, None
        self._has_config_file = self._places.config.exists()
        _log.info("configuration loaded: %d models at %d upstreams", len(fresh.models), len(fresh.upstreams))

    def _read_configuration(
        self,
    ) -> tuple[Settings, Mapping[str, Policy], Catalog, dict[UpstreamIdentity, Upstream]]:
        settings = load(self._places.config, must_exist=self._has_config_file)
        policies = self._policy_files.read(settings)
        return settings, policies, *self._catalog(settings, self._library.in_force(policies))

    def _catalog(
        self, settings: Settings, policies: Mapping[str, Policy]
    ) -> tuple[Catalog, dict[UpstreamIdentity, Upstream]]:
        fresh, upstreams = catalog(
            settings,
            self._environment,
            embedded_url=self._places.embedded_url,
            stored_keys=self._vault.opened,
            reported=self._listings.reported,
            reusable=self._upstreams,
            verifiers=self.house.catalog.verifiers if self._is_serving else {},  # before, they remember nothing
        )
        active = put_in_force(policies, fresh.models, fresh.defaults, fresh.verifiers)
        return replace(fresh, policies=active, default_policy=settings.policy), upstreams

    async def _refresh(self) -> None:
        """Make changes by the admin API known to this process at once."""
        await self._keys.refresh()
        await self._vault.refresh()
        await self._library.refresh()
        await self._profiles.refresh()

    def _take_up(self, fresh: Catalog, upstreams: dict[UpstreamIdentity, Upstream]) -> None:
        """Serve from another catalog. The upstreams are the serving ones where settings and key are the same."""
        retired = [upstream for identity, upstream in self._upstreams.items() if identity not in upstreams]
        # Requests under way keep the catalog they began with; its connections close when none can be left.
        delay_s = self.settings.limits.deadline_s
        for upstream in retired:
            asyncio.get_running_loop().call_later(delay_s, lambda gone: asyncio.ensure_future(gone.close()), upstream)
        self._upstreams = upstreams
        self.house.catalog = with_profiles(fresh, self._profiles.profiles, self._profiles.caps)
        self._listings.ask(fresh.upstreams, self._config_file.ask)

    def _use_profiles(self) -> None:
        """Decide by the profiles in force from now on; requests under way keep the catalog they began with."""
        self.house.catalog = with_profiles(self.house.catalog, self._profiles.profiles, self._profiles.caps)


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
