"""Fixtures of gateways that tell webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.webhook import Webhook, make_webhook
from gateway.domain.notice import EVENTS
from gateway.store.schema import upgrade
from tests.clock import SetClock
from tests.heralding import NOW, Stage
from tests.hooked import SECRET, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Whom the webhook leads to."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def clock() -> SetClock:
    """Everybody's clock."""
    return SetClock(NOW)


@pytest.fixture
async def stage(tmp_path: Path, clock: SetClock, receiver: Receiver) -> AsyncIterator[Callable[..., Awaitable[Stage]]]:
    """Makes gateways on one database, with a webhook to the receiver unless others are given."""
    await upgrade(f"sqlite:///{tmp_path}/ponder.db")
    made: list[Stage] = []

    async def make(*webhooks: Webhook) -> Stage:
        hook = make_webhook(f"{receiver.address}/hook", SECRET, EVENTS, allow_private=False)
        made.append(Stage(tmp_path, clock, webhooks or (hook,)))
        return made[-1]

    yield make
    for each in made:
        await each.herald.close(within_s=5)
        await each.changes.close()
