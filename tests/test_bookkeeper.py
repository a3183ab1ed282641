"""The nightly check of the balances, with a real log and a real purse in memory."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.limits_redis import RedisPurse
from gateway.bookkeeper import Bookkeeper
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import ZERO, Usd, usd
from gateway.domain.tenancy import KeyTerms
from gateway.errors import Unavailable
from gateway.ports import Claim, Purse
from gateway.store.balances import Balances
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.reconciliations import Finding, Kind, Reconciliations
from gateway.store.retention import Retention
from gateway.store.schema import upgrade
from gateway.store.sinks import Sink, open_sink
from gateway.telemetry import Meter
from tests.adapters.redis_server import RedisServer
from tests.clock import SetClock
from tests.store.records import DAY_S, NOON, request
from tests.store.tenants import ADMIN, secret

LATE = NOON + 11.75 * 3600
"""A quarter to midnight, UTC, when the day's check is due."""
LIMITS = Limits(budgets=(Budget(usd(100), Period.DAY), Budget(usd(1000), Period.TOTAL)))
ACCOUNT = "key:k1"


class SlowBook:
    """A journal that brings what it was given to the log at the second flush: after the purse was read."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.flushed = 0
        self.faults = 0
        self.late = [request(90, key_id="k1", started_at=LATE - 1, cost=usd(5))]

    async def flush(self) -> None:
        """Write, or say that the database is away."""
        if self.faults:
            self.faults -= 1
            raise Unavailable("the database is away")
        self.flushed += 1
        if self.flushed > 1:
            await self._sink.write(self.late)


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    """A database with a key of two budgets, and $3 of today's requests in its log."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await upgrade(url)
    changes = Changes(locate(url))
    await Keys(changes).create("k1", KeyTerms("k", limits=LIMITS), secret(1), by=ADMIN)
    await changes.close()
    return locate(url)


@pytest.fixture
async def sink(database: Database) -> AsyncIterator[Sink]:
    """Where records are written."""
    sink = open_sink(database)
    await sink.write([request(1, key_id="k1", cost=usd(1)), request(2, key_id="k1", cost=usd(2))])
    yield sink
    await sink.close()


class Office:
    """A bookkeeper and what it works on."""

    def __init__(self, database: Database, sink: Sink, *, counted: Usd) -> None:
        self.purse: Purse = MemoryPurse()
        self.clock = SetClock(LATE)
        self.book = SlowBook(sink)
        self.results = Reconciliations(database)
        self.counted = counted
        self.keeper = Bookkeeper(lambda: self.purse, self.clock, Balances(database), self.book, self.results, lag_s=0)

    async def look(self) -> Finding | None:
        """What the newest check has found, after one more look."""
        await self.keeper.look()
        found = await self.results.recent(limit=1)
        return found[0].finding if found and found[0].finished_at is not None else None

    async def restore(self) -> None:
        """Let the purse begin with what it has counted."""
        amounts = {Period.DAY: self.counted, Period.TOTAL: self.counted}
        await self.purse.restore({ACCOUNT: amounts}, now=LATE - 3600)

    async def spent(self, period: Period) -> Usd:
        """What the purse says now."""
        return (await self.purse.spent(ACCOUNT, period, now=self.clock.now()))[0]


Offices = Callable[..., Office]


@pytest.fixture
async def offices(database: Database, sink: Sink) -> AsyncIterator[Offices]:
    """Makes bookkeepers, and closes them in the end."""
    made: list[Office] = []

    def make(*, counted: Usd) -> Office:
        made.append(Office(database, sink, counted=counted))
        return made[-1]

    yield make
    for office in made:
        await office.keeper.close()


@pytest.mark.parametrize("counted", ["3", "8", "5.5"])
async def test_a_balance_between_the_two_sums_is_right(offices: Offices, counted: str) -> None:
    """What is on its way from the journal to the log may or may not be in the purse: neither is a difference."""
    office = offices(counted=usd(counted))
    await office.restore()
    assert await office.look() == Finding(2, 0, ZERO, ())
    assert await office.spent(Period.DAY) == usd(counted)


@pytest.mark.parametrize("figures", [("2.9", "-0.1", "3"), ("8.000000001", "0.000000001", "8")])
async def test_a_wrong_balance_is_told_and_corrected(
    offices: Offices, caplog: pytest.LogCaptureFixture, figures: tuple[str, str, str]
) -> None:
    """To the nano-dollar: the warning has the figures, the metric the sum, and the purse the log's amount."""
    counted, error, right = figures
    office = offices(counted=usd(counted))
    meter = Meter()
    office.keeper.watch(meter)
    await office.restore()
    found = await office.look()
    assert found is not None
    detail = {"account": ACCOUNT, "counted_usd": counted, "log_usd": right, "difference_usd": error}
    assert sorted(found.details, key=lambda each: each["period"]) == [
        {**detail, "period": "day"},
        {**detail, "period": "total"},
    ]
    assert (found.compared, found.differing, found.difference) == (2, 2, usd(error).copy_abs() * 2)
    assert [await office.spent(period) for period in (Period.DAY, Period.TOTAL)] == [usd(right)] * 2
    (warning,) = caplog.messages
    assert warning.startswith("reconciliation: 2 of 2 balances differed from the log")
    assert f"account {ACCOUNT}" in warning
    assert f"difference_usd {error}" in warning
    value = float(found.difference)
    assert f"ponder_reconciliation_difference_usd {value}".encode() in meter.render()


async def test_a_correction_leaves_what_is_held(offices: Offices) -> None:
    """Money that is set aside for a call under way is neither a difference nor lost by a correction."""
    office = offices(counted=usd(2))
    await office.restore()
    account = Account(ACCOUNT, LIMITS)
    hold = await office.purse.hold(Claim("r1", (account,), usd(10), 1, LATE, 60))
    await office.look()
    assert await office.purse.spent(ACCOUNT, Period.DAY, now=LATE) == (usd(3), usd(10))
    await office.purse.settle(hold, usd(4), tokens=1, now=LATE)
    assert await office.purse.spent(ACCOUNT, Period.DAY, now=LATE) == (usd(7), ZERO)


async def test_a_night_is_checked_once(offices: Offices) -> None:
    """A second look finds the night done, in this process and in another; the next night is another check."""
    office = offices(counted=usd(3))
    await office.restore()
    await office.look()
    other = offices(counted=usd(99))
    await other.restore()
    for each in (office, other):
        await each.keeper.look()
    assert await other.spent(Period.TOTAL) == usd(99)
    assert office.book.flushed == 2
    office.clock.at += DAY_S
    await office.keeper.look()
    assert [each.day for each in await office.results.recent(limit=9)] == ["2026-11-23", "2026-11-22"]


@pytest.mark.parametrize(("hours", "night"), [(-12, "2026-11-21"), (-1, "2026-11-21"), (0, "2026-11-22")])
async def test_the_check_is_due_half_an_hour_before_midnight(offices: Offices, hours: int, night: str) -> None:
    """Until then the night before counts as missed, and is made up for."""
    office = offices(counted=usd(3))
    office.clock.at = LATE + hours * 3600
    await office.restore()
    await office.keeper.look()
    assert [each.day for each in await office.results.recent(limit=9)] == [night]


async def test_a_request_across_midnight_may_count_in_either_day(offices: Offices, sink: Sink) -> None:
    """One that began before midnight and was held after it is in the purse's new day and in the log's old one."""
    midnight = NOON - DAY_S / 2
    await sink.write([request(3, key_id="k1", started_at=midnight - 1, total_s=2.0, cost=usd(10))])
    office = offices(counted=usd(18))
    await office.restore()
    assert await office.look() == Finding(2, 0, ZERO, ())


async def test_nothing_is_checked_in_the_last_minute_of_a_day(offices: Offices) -> None:
    """A check that midnight falls into would compare one day's purse with another day's log."""
    office = offices(counted=usd(3))
    office.clock.at = NOON + 12 * 3600 - 30
    await office.restore()
    await office.keeper.look()
    assert await office.results.recent(limit=9) == ()


async def test_balances_that_are_not_restored_are_not_checked(offices: Offices) -> None:
    """An empty purse is no wrong one while the log has not been read into it."""
    office = offices(counted=ZERO)
    await office.keeper.look()
    assert await office.results.recent(limit=9) == ()


async def test_a_check_that_fails_is_taken_up_again(offices: Offices) -> None:
    """A database that goes away in the middle leaves the check to the next look of the same process."""
    office = offices(counted=usd(2))
    await office.restore()
    office.book.faults = 1
    with pytest.raises(Unavailable):
        await office.keeper.look()
    (unfinished,) = await office.results.recent(limit=9)
    assert (unfinished.kind, unfinished.finished_at) == (Kind.BALANCES, None)
    found = await office.look()
    assert found is not None
    assert found.differing == 2


@pytest.mark.parametrize("counted", ["3", "18"])
async def test_requests_that_were_deleted_still_count(
    offices: Offices, database: Database, sink: Sink, counted: str
) -> None:
    """What retention took from the log is in the sums that balances are compared with, on either side of midnight."""
    midnight = NOON - DAY_S / 2
    await sink.write([request(3, key_id="k1", started_at=midnight - 1, total_s=2.0, cost=usd(15))])
    office = offices(counted=usd(counted))
    office.book.late.clear()
    amounts = {Period.DAY: usd(counted), Period.TOTAL: usd(18)}
    await office.purse.restore({ACCOUNT: amounts}, now=LATE - 3600)
    store = Retention(database)
    assert await store.delete_requests(LATE, now=LATE) == 3
    await store.close()
    assert await office.look() == Finding(2, 0, ZERO, ())
    assert await office.spent(Period.TOTAL) == usd(18)


async def test_balances_in_redis_are_checked_as_well(offices: Offices, database: Database) -> None:
    """The same check, against a real Redis: what differs is told, and corrected there."""
    # Not pytest's temporary folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ponder-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        office = offices(counted=usd(2))
        purse = RedisPurse(
            server.url,
            when_away="closed",
            clock=office.clock,
            log=Balances(database),
            process="one",
            is_server_timed=False,
        )
        office.purse = purse
        assert await purse.needs_restore()
        await office.restore()
        found = await office.look()
        assert found is not None
        assert (found.compared, found.differing, found.difference) == (2, 2, usd(2))
        assert [await office.spent(period) for period in (Period.DAY, Period.TOTAL)] == [usd(3)] * 2
        await purse.close(within_s=1)
        server.kill()
