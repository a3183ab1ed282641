"""``/admin/reconciliations``: what the nightly checks found."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.domain.money import usd
from gateway.store.base import locate
from gateway.store.reconciliations import Finding, Kind, Reconciliations
from tests.http.admin.administrator import Administrator
from tests.store.records import NOON


async def _write(home: Path) -> None:
    results = Reconciliations(locate(f"sqlite:///{home}/ponder.db"))
    await results.begin("2001-01-01", Kind.BALANCES, now=NOON)
    await results.begin("2001-01-02", Kind.CALLS, now=NOON)
    found = Finding(5, 1, usd("0.25"), ({"account": "key:k", "difference_usd": "-0.25"},))
    await results.finish("2001-01-02", Kind.CALLS, found, now=NOON + 1)
    await results.close()


def test_checks_are_listed_to_viewers(home: Path, admin: Administrator) -> None:
    """The newest first, with figures as decimal text; and how many requests are under way."""
    asyncio.run(_write(home))
    answer = admin.having("viewer").get("/reconciliations")
    assert answer["open_requests"] == 0
    newest, older = [each for each in answer["data"] if each["day"].startswith("2001-")]
    assert newest == {
        "day": "2001-01-02",
        "kind": "calls",
        "started_at": "2026-11-22T12:00:00Z",
        "finished_at": "2026-11-22T12:00:01Z",
        "compared": 5,
        "differing": 1,
        "difference_usd": "0.25",
        "details": [{"account": "key:k", "difference_usd": "-0.25"}],
    }
    assert (older["day"], older["kind"], older["finished_at"]) == ("2001-01-01", "balances", None)


def test_callers_of_models_do_not_see_the_checks(admin: Administrator) -> None:
    """A key without a role is refused."""
    assert admin.having(None).ask("GET", "/reconciliations").status_code in {401, 403}


def test_the_list_can_be_cut_short(admin: Administrator) -> None:
    """A limit is kept, and one out of range refused."""
    assert len(admin.get("/reconciliations", limit=1)["data"]) <= 1
    assert admin.ask("GET", "/reconciliations", params={"limit": 0}).status_code == 400
