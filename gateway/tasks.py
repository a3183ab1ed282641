"""Celery: ticks on a schedule, for the work that no request should wait for.

A tick carries no state: it finds in the database what is due, works on it for some seconds, and
ends. So a tick that is lost, late or run twice does no harm. Messages are JSON, never pickle.

Packages that stand above the gateway add ticks by the entry point group ``ponder.tasks``: a function that is
called with the app, the places and the settings, and returns entries for the schedule.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.platforms import SecurityWarning
from celery.schedules import crontab
from kombu import Connection
from kombu.exceptions import OperationalError

from gateway.domain.money import show
from gateway.errors import Unavailable
from gateway.settings import Places, RetentionSettings, Settings, broker_url, database_url
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.reconciliations import Kind, Reconciliations
from gateway.store.retention import Retention
from gateway.store.rollups import Rollups
from gateway.telemetry import configure_logging

RETENTION = "ponder.retention"
"""The tick that deletes what has been kept for long enough."""

RECONCILIATION = "ponder.reconciliation"
"""The tick that compares, once a night, each request's cost with its calls'."""

ROLLUPS = "ponder.rollups"
"""The tick that sums traffic up by the hour, for the dashboard."""

_GROUP = "ponder.tasks"
_DAY_S = 86_400
_TICK_S = 10.0
_TICK_EXPIRES_S = 3_000  # ticks do not pile up while no worker runs
_ROLLUPS_EVERY_S = 20.0
_CONNECT_S = 5
_RETENTION_S = 60.0
"""Mostly a fraction of a second: before PostgreSQL drops a day, what it was charged is summed up."""
_RECONCILIATION_S = 60.0
"""A day of a million requests takes some seconds; a tick that is cut off begins again an hour later."""
_log = logging.getLogger("ponder.tasks")


def build(where: Places, settings: Settings) -> Celery:
    """The Celery app, its ticks and their schedule."""
    app = Celery("ponder", set_as_current=False)
    app.conf.update(
        **_broker(where, settings),
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_default_queue="ponder",
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        timezone="UTC",
        # In memory: what is due follows from the clock alone, and nothing is pickled to disk.
        beat_scheduler="celery.beat:Scheduler",
        beat_schedule={
            RETENTION: {"task": RETENTION, "schedule": crontab(minute="17"), "options": {"expires": _TICK_EXPIRES_S}},
            # Every hour, and mostly nothing is due: so a night without a worker is made up for in the morning.
            RECONCILIATION: {
                "task": RECONCILIATION,
                "schedule": crontab(minute="23"),
                "options": {"expires": _TICK_EXPIRES_S},
            },
            ROLLUPS: {"task": ROLLUPS, "schedule": _ROLLUPS_EVERY_S, "options": {"expires": _ROLLUPS_EVERY_S}},
        },
    )
    database = locate(database_url(where, settings))

    # Not shared: a task belongs to its own app alone, should a process make several.
    @app.task(name=RETENTION, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def retention() -> None:
        asyncio.run(forget(Retention(database), settings.retention, now=time.time(), for_at_most_s=_RETENTION_S))

    @app.task(name=RECONCILIATION, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def reconciliation() -> None:
        asyncio.run(compare_calls(Reconciliations(database), now=time.time(), for_at_most_s=_RECONCILIATION_S))

    @app.task(name=ROLLUPS, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def rollups() -> None:
        kept_since = time.time() - settings.retention.requests_days * _DAY_S
        store = Rollups(Connections(database, most=1))
        asyncio.run(sum_up(store, now=time.time(), kept_since=kept_since, for_at_most_s=_TICK_S))

    for entry in entry_points(group=_GROUP):
        app.conf.beat_schedule.update(entry.load()(app, where, settings))
    return app


def _broker(where: Places, settings: Settings) -> dict[str, Any]:
    url = broker_url(where, settings)
    if url is not None:
        return {"broker_url": url}
    folder = broker_folder(where)
    messages, bindings = folder / "messages", folder / "bindings"
    for each in (where.home, folder, messages, bindings):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(bindings),
    }
    return {"broker_url": "filesystem://localhost", "broker_transport_options": options}


def broker_folder(where: Places) -> Path:
    """Where ticks wait for the worker when no broker is configured."""
    return where.home / "broker"


async def forget(store: Retention, retention: RetentionSettings, *, now: float, for_at_most_s: float) -> None:
    """Delete requests, and texts of requests, older than the configuration keeps them; make room for those to come.

    What is not done in time is left to the next tick.
    """
    try:
        async with asyncio.timeout(for_at_most_s):
            await store.make_room(now)
            texts = await store.delete_texts(now - retention.text_days * _DAY_S)
            whole = await store.delete_requests(now - retention.requests_days * _DAY_S, now=now)
    except TimeoutError:
        _log.info("retention: more is due than one tick deletes; the next one goes on")
    else:
        if texts or whole:
            _log.info("retention: deleted %d stored texts and %d requests", texts, whole)
    finally:
        await store.close()


async def compare_calls(results: Reconciliations, *, now: float, for_at_most_s: float) -> None:
    """Compare the cost of each request of yesterday (UTC) with the sum of its calls, unless that has been done.

    The balances of budgets are the gateway's to check (``gateway/bookkeeper.py``): it holds them.
    """
    day = datetime.fromtimestamp(now - _DAY_S, UTC).date().isoformat()
    try:
        async with asyncio.timeout(for_at_most_s):
            if await results.is_finished(day, Kind.CALLS):
                return
            # A check that was begun and never finished is done again: it would find the same.
            await results.begin(day, Kind.CALLS, now=now)
            finding = await results.compare_calls(day)
            await results.finish(day, Kind.CALLS, finding, now=now)
    except TimeoutError:
        _log.warning("reconciliation: the requests of %s could not be compared in %.0f s", day, for_at_most_s)
    else:
        if finding.differing:
            _log.warning(
                "reconciliation: %d of %d requests of %s cost something else than their calls, by $%s in all: %s",
                finding.differing, finding.compared, day, show(finding.difference),
                "; ".join(", ".join(f"{name} {value}" for name, value in each.items()) for each in finding.details),
            )  # fmt: skip
    finally:
        await results.close()


async def sum_up(store: Rollups, *, now: float, kept_since: float, for_at_most_s: float) -> None:
    """Count the hours whose sums are out of date. What is not done in time is left to the next tick."""
    try:
        async with asyncio.timeout(for_at_most_s):
            await store.sum_up(now, kept_since=kept_since)
    except TimeoutError:
        _log.info("rollups: more is due than one tick counts; the next one goes on")
    finally:
        await store.close()


def run_worker(app: Celery) -> int:
    """Take ticks one after the other in this process until SIGTERM; returns the exit code."""
    _take_over_logging()
    with warnings.catch_warnings():
        # Celery advises against running as root because of pickle, which is not accepted here.
        warnings.simplefilter("ignore", SecurityWarning)
        worker = app.Worker(
            pool="solo",
            concurrency=1,
            loglevel="INFO",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
    worker.start()
    return int(worker.exitcode or 0)


def run_beat(app: Celery) -> None:
    """Send ticks when they are due, in this process, until SIGTERM."""
    _take_over_logging()
    app.Beat(loglevel="INFO", quiet=True).run()


def check_broker(where: Places, settings: Settings) -> None:
    """Raises Unavailable if the configured broker cannot be reached."""
    url = broker_url(where, settings)
    if url is None:
        return
    with Connection(url, connect_timeout=_CONNECT_S) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_S)
        except OperationalError as fault:
            raise Unavailable(f"the broker {connection.as_uri()} cannot be reached") from fault


def _take_over_logging() -> None:
    """Log as the gateway does; with a receiver of this signal, Celery leaves logging alone."""

    def configure(**_: object) -> None:
        configure_logging(sys.stdout)

    signals.setup_logging.connect(configure, weak=False)
