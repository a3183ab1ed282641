"""Every model, wish and kind of request over HTTP: nothing possible is refused, and nothing is changed in silence.

The stand-ins' rules are written from the providers' pages and not from our table, so where the two
disagree, this finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters.thinking import actuate
from gateway.domain.thinking import Actuation, Wish
from tests.adapters.litellm_calls import AS_LITELLM_WARNS
from tests.thinking.cells import (
    CEILING,
    CHAT,
    SOME_WISHES,
    VARIANTS,
    WISHES,
    Cell,
    actuated,
    body_of,
    cells,
    send,
    understood_of,
    upstream_of,
)
from tests.thinking.rules import Understood
from tests.thinking.server import ThinkingServer
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.openai_server import OpenAIServer

pytestmark = AS_LITELLM_WARNS
CELLS = sorted(cells(), key=lambda cell: cell.name)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    """All stand-ins, by provider; those without one of their own share one."""
    with AnthropicServer() as anthropic, OpenAIServer() as openai, ThinkingServer() as others:
        yield {"anthropic": anthropic, "openai": openai, "": others}


def test_the_grid_is_wide() -> None:
    """There are at least 40 models and dialects, let alone combinations with wishes and requests."""
    assert len(CELLS) >= 40
    assert len({cell.provider for cell in CELLS}) >= 10


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_nothing_possible_is_refused_and_nothing_is_changed_in_silence(
    cell: Cell, servers: dict[str, Any]
) -> None:
    """A request is refused exactly where the table says that it must be, and every difference has a remap."""
    server = servers.get(cell.provider, servers[""])
    upstream = upstream_of(cell, server.address)
    try:
        for variant in VARIANTS:
            for wish in WISHES if variant.name == "bare" else SOME_WISHES:
                for stream in (False, True) if variant.name in {"bare", "tools"} else (False,):
                    await check(cell, server, upstream, body_of(cell, variant, stream=stream), wish)
    finally:
        await upstream.close()


async def check(cell: Cell, server: Any, upstream: Any, body: dict[str, Any], wish: Wish) -> None:
    """One combination."""
    where = f"{cell.name}: {wish.record} {body}"
    impossible = cell.capability.obstacle(
        is_chat=cell.dialect is CHAT, has_tools="tools" in body, is_stream="stream" in body
    )
    actuation = actuate(cell.capability, cell.dialect, body, wish, max_output_tokens=CEILING)
    sent = actuated(body, actuation)
    refused = await send(upstream, cell.dialect, sent)
    if impossible is not None:
        assert refused is not None, f"{where}: not impossible, as the table says: {impossible}"
        return
    assert refused is None, f"{where}: refused: {refused}, after {actuation}"
    is_told = isinstance(server, ThinkingServer)
    understood = server.understood[-1] if is_told else understood_of(cell, server.last.json)
    if not wish.is_empty:
        check_wish(where, wish, understood, actuation)
    check_fields(where, body, sent, actuation)


def check_wish(where: str, wish: Wish, understood: Understood, actuation: Actuation) -> None:
    """What the provider understood is the wish, or there is a remap; and it is what we say that we sent."""
    if wish.is_off:
        is_exact = understood.is_off
    elif wish.thinking_tokens is not None:
        is_exact = understood.tokens == wish.thinking_tokens
    else:
        is_exact = understood.level == wish.effort
    assert is_exact or actuation.remaps, f"{where}: understood as {understood} in silence"
    said = actuation.sent
    if understood.is_off:
        assert said == {"effort": "none"}, f"{where}: off, and said {said}"
    elif understood.is_prompted:
        assert said == {"thinking": "prompt"}, f"{where}: prompted, and said {said}"
    elif understood.tokens is not None and understood.tokens >= 0:
        assert said.get("thinking_tokens") == understood.tokens, f"{where}: {understood}, and said {said}"
    elif understood.level is not None:
        assert said.get("effort") == understood.level, f"{where}: {understood}, and said {said}"
    else:
        assert said == {"thinking": "on"}, f"{where}: {understood}, and said {said}"


SAID = {"temperature": "temperature", "tool_choice": "tool_choice", "messages": "begun answer"}


def check_fields(where: str, body: dict[str, Any], sent: dict[str, Any], actuation: Actuation) -> None:
    """What became of the client's own fields is said."""
    remaps = " | ".join(actuation.remaps)
    for name, word in SAID.items():
        is_prompt = name == "messages" and actuation.reads_tags
        if name in body and sent.get(name) != body[name] and not is_prompt:
            assert word in remaps, f"{where}: {name} changed in silence"
    limits = [
        each.get("max_completion_tokens", each.get("max_output_tokens", each.get("max_tokens")))
        for each in (body, sent)
    ]
    assert limits[0] == limits[1] or "raised" in remaps, (
        f"{where}: the limit went from {limits[0]} to {limits[1]} in silence"
    )
