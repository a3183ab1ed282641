"""Items from a policy's own traffic: asks whose texts it keeps, drawn at random, each once, and without a truth.

Which ones were drawn is kept with the run, by their requests' ids, so that whoever goes on with it asks the same. Their
texts stay in the database and in memory: no message, log or report has any of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from calibrator.binding import Bound
from calibrator.items.item import Agreement, Item
from calibrator.kept_text import item_of, plain_messages
from gateway.dialects.json_bytes import loads
from gateway.dialects.stored_names import stored_names
from gateway.domain.key import Key, may_take, may_use
from gateway.domain.prediction import Category
from gateway.domain.profile import Cell
from gateway.errors import ConfigurationError, InvalidRequest
from gateway.policy.items_document import LoggedDocument
from gateway.policy.ready import ReadyPolicy
from gateway.store.logged_asks import AskText, KnownAsk, LoggedAsks
from gateway.wiring import CODECS

LONGEST: Final = 200_000
"""Characters of an ask that is drawn."""
_SPARE: Final = 8
"""Asks that are put in line for each that is wanted: repeats drop out, and such as hold more than text."""
_AT_LEAST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The asks that a run drew, in the order in which chance put them, and what it drew them from.

    Of the asks with text that the policy answered from ``since`` to ``until``, ``eligible`` are plain text, of a
    category and difficulty of the rules, and of keys that may use every arm.
    """

    since: float
    until: float
    seed: int
    seen: int
    eligible: int
    requests: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        """What is kept of it with the run."""
        return {**asdict(self), "requests": list(self.requests)}


def read_sample(document: Mapping[str, Any]) -> Sample:
    """The sample that a run was begun with."""
    return Sample(**{**document, "requests": tuple(document["requests"])})


@dataclass(frozen=True, slots=True)
class Source:
    """What asks are drawn for: a policy, those of its rules that are measured, and what it says of drawing."""

    policy: ReadyPolicy
    rules: Sequence[Bound]
    wanted: LoggedDocument

    def cell(self, ask: KnownAsk | AskText) -> Cell:
        """Where the ask counted in traffic. One that the classifier was unsure of is ``other``."""
        is_sure = ask.confidence is None or ask.confidence >= self.policy.unsure_below
        return (ask.category if is_sure else None) or Category.OTHER.value, ask.difficulty

    def takes(self, cell: Cell) -> bool:
        """Whether asks of this category and difficulty may be one of the rules'."""
        return any(rule.applies(cell) for rule in self.rules)

    def lets(self, key: Key | None) -> bool:
        """Whether what this key asked may be asked of every arm; of a key that is gone nobody knows."""
        if key is None:
            return False
        names = {name for rule in self.rules for name in rule.usable}
        arms = [self.policy.arms[name] for name in names]
        models = {leg.model.name for arm in arms for leg in (*arm.legs, *arm.readers)}
        return all(may_take(key, name) for name in names) and all(may_use(key, name) for name in models)


async def draw(
    asks: LoggedAsks, source: Source, *, since: float, until: float, seed: int
) -> tuple[Sample, tuple[Item, ...]]:
    """Draw asks at random, and the items that they make; asks that say the same are one."""
    seen, line = await _in_line(asks, source, since=since, until=until, seed=seed)
    items: dict[str, Item] = {}
    drawn: list[str] = []
    async for request_id, item in _items(asks, source, [name for _, name in line]):
        if item.id not in items and len(items) < source.wanted.at_most:
            items[item.id] = item
            drawn.append(request_id)
        if len(items) == source.wanted.at_most:
            break
    return Sample(since, until, seed, seen.all, seen.eligible, tuple(drawn)), tuple(items.values())


async def drawn_again(asks: LoggedAsks, source: Source, sample: Sample) -> tuple[Item, ...]:
    """The items of a sample. Raises ConfigurationError where a text of it is deleted by now."""
    found = {request_id: item async for request_id, item in _items(asks, source, sample.requests)}
    gone = len(sample.requests) - len(found)
    if gone:
        raise ConfigurationError(
            f"the texts of {gone} of the {len(sample.requests)} logged asks of the run are deleted by now, as "
            "retention.text_days in ponder.yaml says, so it cannot be gone on with"
        )
    return tuple(found.values())


@dataclass(slots=True)
class _Seen:
    all: int = 0
    eligible: int = 0


async def _in_line(
    asks: LoggedAsks, source: Source, *, since: float, until: float, seed: int
) -> tuple[_Seen, list[tuple[bytes, str]]]:
    """The first asks in an order that only the seed and their ids decide, and how many there are."""
    most = _SPARE * source.wanted.at_most + _AT_LEAST
    seen, line = _Seen(), list[tuple[bytes, str]]()
    allowed: dict[str, bool] = {}
    async for part in asks.parts(source.policy.name, since=since, until=until):
        unknown = {ask.key_id for ask in part} - allowed.keys()
        keys = await asks.keys(unknown) if unknown else {}
        allowed.update((name, source.lets(keys.get(name))) for name in unknown)
        seen.all += len(part)
        for ask in part:
            if ask.is_plain and allowed[ask.key_id] and source.takes(source.cell(ask)):
                seen.eligible += 1
                line.append((_place(seed, ask.id), ask.id))
        if len(line) > 2 * most:
            line = sorted(line)[:most]
    return seen, sorted(line)[:most]


def _place(seed: int, request_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{request_id}".encode(), digest_size=16).digest()


async def _items(asks: LoggedAsks, source: Source, ids: Sequence[str]) -> AsyncIterator[tuple[str, Item]]:
    async for part in asks.texts(ids):
        for ask in part:
            item = _item(ask, source)
            if item is not None:
                yield ask.id, item


def _item(ask: AskText, source: Source) -> Item | None:
    """What an ask is as an item; None for one that is more than its text, or very long."""
    try:
        body = loads(ask.request)
        if not isinstance(body, dict) or stored_names(ask.dialect, body):
            return None
        messages = plain_messages(CODECS[ask.dialect].read_request(body))
    except InvalidRequest:
        return None
    if messages is None or sum(len(message["content"]) for message in messages) > LONGEST:
        return None
    category, difficulty = source.cell(ask)
    return Item(
        id=f"ask-{item_of(messages)}",
        messages=messages,
        category=category,
        difficulty=difficulty,
        check=Agreement(source.wanted.draws),
    )
