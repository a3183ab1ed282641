"""Items from a policy's own traffic: which asks are drawn, each once, and the same again for whoever goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from calibrator.binding import Bound
from calibrator.choose import Scope as PromiseScope
from calibrator.items.item import Agreement, Item, digest_of
from calibrator.items.logged import LONGEST, Sample, Source, draw, drawn_again, read_sample
from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Dialect
from gateway.domain.key import Names, Scope
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, StoredText
from gateway.domain.tenancy import KeyTerms
from gateway.errors import ConfigurationError
from gateway.policy.items_document import LoggedDocument
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.keys import Keys
from gateway.store.logged_asks import LoggedAsks
from gateway.store.retention import Retention
from gateway.store.schema import upgrade
from gateway.store.sinks import Sink, open_sink
from tests.policy.world import ready
from tests.store.records import FULL, NOON, identity, request
from tests.store.tenants import ADMIN, secret

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work", category="math", difficulty="easy", facts={"confidence": 0.9})

CONTINUED = dumps({"model": "auto", "input": "a", "previous_response_id": "resp_1"})


def _ask(text: str, **more: Any) -> bytes:
    return dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **more})


def _kept(number: int, asked: bytes | None = None, **changes: Any) -> RequestRecord:
    text = StoredText(_ask(f"Question {number}?") if asked is None else asked, b"said", {})
    given = {"started_at": NOON + number, "text": text, "plan": PLAN, "model_asked": "auto", **changes}
    return request(number, **given)


def _source(at_most: int = 100) -> Source:
    policy = ready()
    rule = Bound(policy, policy.rules[2], "think-hard", 0.9, PromiseScope.POLICY, frozenset({"math", "code"}), None)
    return Source(policy, [rule], LoggedDocument(at_most=at_most))


@dataclass(frozen=True, slots=True)
class Site:
    """Traffic of a policy, and a key that may ask for everything."""

    asks: LoggedAsks
    sink: Sink
    changes: Changes
    database: Database

    async def draw(self, at_most: int = 100, *, seed: int = 1) -> tuple[Sample, tuple[Item, ...]]:
        """The asks of a run."""
        return await draw(self.asks, _source(at_most), since=NOON, until=NOON + 10_000, seed=seed)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A database with the key ``default``."""
    database = locate(f"sqlite:///{tmp_path / 'ponder.db'}")
    await upgrade(f"sqlite:///{tmp_path / 'ponder.db'}")
    changes, connections, sink = Changes(database), Connections(database, most=1), open_sink(database)
    await Keys(changes).create("default", KeyTerms("default"), secret(1), by=ADMIN)
    yield Site(LoggedAsks(connections), sink, changes, database)
    await sink.close()
    await connections.close()
    await changes.close()


def _texts(items: tuple[Item, ...]) -> set[str]:
    return {item.messages[-1]["content"] for item in items}


async def test_an_ask_is_an_item_without_a_truth(site: Site) -> None:
    """It is the conversation as it was, in the cell where it counted, whatever its client's dialect."""
    told = {"model": "auto", "system": "Be brief.", "max_tokens": 9, "messages": [{"role": "user", "content": "1+1?"}]}
    await site.sink.write([_kept(1, dumps(told), dialect=Dialect.ANTHROPIC_MESSAGES)])
    sample, (item,) = await site.draw()
    assert item.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"})
    assert (item.cell, item.check) == (("math", "easy"), Agreement(5))
    assert (sample.seen, sample.eligible, sample.requests) == (1, 1, (identity(1, NOON + 1),))


async def test_a_sample_is_by_chance_and_the_seed_is_its_name(site: Site) -> None:
    """Another seed draws others, the same seed the same; every ask has the same chance."""
    await site.sink.write([_kept(number) for number in range(60)])
    first, items = await site.draw(20)
    assert (len(items), first.seen, first.eligible) == (20, 60, 60)
    assert await site.draw(20) == (first, items)
    assert _texts((await site.draw(20, seed=2))[1]) != _texts(items)
    counts = [0] * 60
    for seed in range(60):
        for text in _texts((await site.draw(20, seed=seed))[1]):
            counts[int(text.split()[1][:-1])] += 1
    assert sum(counts) == 1_200
    assert 5 < min(counts) <= max(counts) < 40


async def test_asks_that_say_the_same_are_one(site: Site) -> None:
    """But for blanks and capitals; what stands before the question is part of it."""
    told = [{"role": "system", "content": "x"}, {"role": "user", "content": "two?"}]
    other = dumps({"model": "auto", "messages": told})
    await site.sink.write([_kept(1, _ask("two?")), _kept(2, _ask(" Two? ")), _kept(3, other), _kept(4, _ask("2?"))])
    sample, items = await site.draw()
    assert len(items) == len(sample.requests) == 3
    assert len({item.id for item in items}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": replace(PLAN, category="creative")},
        {"plan": replace(PLAN, facts={"confidence": 0.1})},
        {"plan": replace(PLAN, facts={"confidence": 0.9, "tools": True})},
        {"asked": _ask("a", tools=[{"type": "function", "function": {"name": "f"}}])},
        {"asked": _ask("x" * (LONGEST + 1))},
        {"asked": CONTINUED, "dialect": Dialect.OPENAI_RESPONSES},
        {"asked": b"broken"},
        {"key_id": "gone"},
        {"key_id": "bound"},
    ],
)
async def test_some_asks_are_not_drawn(site: Site, changes: dict[str, Any]) -> None:
    """Of no rule, unsure, more than text, very long, continued elsewhere, or of a key that may not use all arms."""
    terms = KeyTerms("bound", scope=Scope(models=Names(("haiku",))))
    await Keys(site.changes).create("bound", terms, secret(2), by=ADMIN)
    await site.sink.write([_kept(1, **changes), _kept(2)])
    sample, items = await site.draw()
    assert _texts(items) == {"Question 2?"}
    assert sample.seen == 2


async def test_what_was_drawn_is_drawn_again(site: Site) -> None:
    """From what was kept with the run, whatever traffic came since; nothing of a text is in it."""
    await site.sink.write([_kept(number) for number in range(20)])
    sample, items = await site.draw(10)
    await site.sink.write([_kept(number) for number in range(20, 40)])
    said = json.dumps(sample.document)
    assert "Question" not in said
    again = read_sample(json.loads(said))
    assert again == sample
    found = await drawn_again(site.asks, _source(), again)
    assert digest_of(found) == digest_of(items)
    retention = Retention(site.database)
    await retention.delete_texts(NOON + 10)
    await retention.close()
    with pytest.raises(ConfigurationError, match=r"of the 10 logged asks of the run are deleted by now"):
        await drawn_again(site.asks, _source(), again)
