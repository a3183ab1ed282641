"""litellm's providers when they fail, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from tests.adapters.litellm_calls import (
    AS_LITELLM_WARNS,
    PROMPT,
    ask,
    calling,
    chat_body,
    listen,
    stream_body,
    upstream_at,
)
from tests.adapters.litellm_server import (
    Told,
    ToldServer,
    chat_chunk,
    gemini,
    told_events,
    told_json,
)

pytestmark = AS_LITELLM_WARNS


@pytest.fixture(scope="module")
def provider() -> Iterator[ToldServer]:
    """The server that every test tells what to answer."""
    with ToldServer() as server:
        yield server


@pytest.mark.parametrize("fields", [chat_body(), stream_body()])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamRefused),
        (401, UpstreamDenied),
        (404, UpstreamRefused),
        (422, UpstreamRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamFailed),
        (503, UpstreamOverloaded),
        (504, UpstreamTimedOut),
        (307, UpstreamFailed),
    ],
)
async def test_an_error_status_is_judged_as_such_and_never_tried_again(
    provider: ToldServer,
    status: int,
    kind: type[UpstreamError],
    fields: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each status has its class; the provider's words go to the caller only, and litellm repeats nothing."""
    said = {"error": {"code": status, "message": f"not this: {PROMPT}", "status": "SAD"}}
    provider.tell(
        told_json(
            [said] if fields.get("stream") else said, status=status, **{"Retry-After": "7", "Location": "/elsewhere"}
        )
    )
    with pytest.raises(kind) as failure:
        await ask(upstream_at(provider.address), calling(fields))
    assert len(provider.requests) == 1
    assert failure.value.is_unbilled
    assert PROMPT not in failure.value.message
    assert PROMPT not in caplog.text
    if isinstance(failure.value, UpstreamRateLimited | UpstreamOverloaded):
        assert failure.value.retry_after_s == 7
    if isinstance(failure.value, UpstreamRefused):
        assert failure.value.upstream_status == status
        assert json.loads(failure.value.body)["error"] == {
            "message": f"not this: {PROMPT}",
            "type": "invalid_request_error",
            "param": None,
            "code": "SAD",
        }


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "alien", "content": PROMPT}],
        [{"role": "tool", "tool_call_id": "t", "content": PROMPT}],
        [{"role": "user", "content": 5}],
    ],
)
async def test_a_request_that_litellm_cannot_translate_is_refused(provider: ToldServer, messages: Any) -> None:
    """The caller hears of it as of a bad request, in words without the prompt, and nothing is sent."""
    provider.tell()
    with pytest.raises(UpstreamRefused, match="cannot put this request into its provider's form") as refusal:
        await ask(upstream_at(provider.address), calling(chat_body() | {"messages": messages}))
    assert PROMPT.encode() not in refusal.value.body
    assert provider.requests == []


async def test_an_unreachable_provider_is_an_unbilled_failure(unused_tcp_port: int) -> None:
    """Nobody was reached, so nothing was charged."""
    with pytest.raises(UpstreamFailed) as failure:
        await ask(upstream_at(f"http://127.0.0.1:{unused_tcp_port}"), calling(chat_body()))
    assert failure.value.is_unbilled


async def test_a_broken_connection_is_not_repeated(provider: ToldServer) -> None:
    """litellm would send the POST again; the provider may have charged for the first."""
    provider.tell(Told((b'{"candidates"',), ending="cut"))
    with pytest.raises(UpstreamFailed) as failure:
        await ask(upstream_at(provider.address), calling(chat_body()))
    assert len(provider.requests) == 1
    assert not failure.value.is_unbilled


@pytest.mark.parametrize("name", ["gemini", "mistral"])
@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_a_stream_that_breaks_off_is_never_a_success(provider: ToldServer, name: str, ending: Any) -> None:
    """Whether cut or just ended without a finish reason, what came is passed on and then it fails."""
    event = gemini({"text": "Par"}, finish=None) if name == "gemini" else chat_chunk(content="Par")
    provider.tell(told_events([event, event], ending))
    heard: list[Any] = []
    model = "gemini-2.5-flash" if name == "gemini" else "mistral-large-latest"
    with pytest.raises(UpstreamFailed):
        await listen(upstream_at(provider.address, name), calling(stream_body(model)), heard)
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in heard) == "ParPar"


async def test_an_error_inside_a_stream_is_a_failure(provider: ToldServer) -> None:
    """Gemini reports trouble as an event of a stream that began well."""
    provider.tell(told_events([gemini({"text": "Par"}, finish=None), {"error": {"code": 503, "message": PROMPT}}]))
    heard: list[Any] = []
    with pytest.raises(UpstreamError) as failure:
        await listen(upstream_at(provider.address), calling(stream_body()), heard)
    assert heard[0]["choices"][0]["delta"]["content"] == "Par"
    assert PROMPT not in failure.value.message


@pytest.mark.parametrize("name", ["gemini", "mistral", "cerebras"])
async def test_leaving_a_stream_hangs_up_on_the_provider(provider: ToldServer, name: str) -> None:
    """A client that goes away stops the generation it no longer pays attention to."""
    event = gemini({"text": "on and on"}, finish=None) if name == "gemini" else chat_chunk(content="on and on")
    provider.tell(told_events([event], "never"))
    upstream = upstream_at(provider.address, name)
    async with upstream.open(calling(stream_body("some-model"))) as reply:
        chunks = reply.chunks()
        await anext(chunks)
    assert await asyncio.to_thread(provider.hung_up.wait, 10)
    await upstream.close()


@pytest.mark.parametrize("limits", [{"deadline_s": 0.2}, {"silence_s": 0.2}])
@pytest.mark.parametrize("body", [chat_body(), stream_body()])
async def test_a_silent_provider_times_out(
    provider: ToldServer, limits: dict[str, float], body: dict[str, Any]
) -> None:
    """The deadline of the call and the longest silence both end it, and hang up."""
    kind = "text/event-stream" if body.get("stream") else "application/json"
    provider.tell(told_json(gemini({"text": "Paris"})), Told((b" ",), content_type=kind, ending="silence"))
    upstream = upstream_at(provider.address)
    await ask(upstream, calling(chat_body()))  # the first call imports litellm, which alone can take as long
    with pytest.raises(UpstreamTimedOut):
        await ask(upstream, calling(body, **limits))
    assert await asyncio.to_thread(provider.hung_up.wait, 10)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"candidates": [{"content": 7}]}', b"\xff\xfe"])
async def test_an_answer_that_litellm_cannot_read_is_a_failure(provider: ToldServer, body: bytes) -> None:
    """Whatever litellm trips over becomes an UpstreamFailed without the provider's text."""
    provider.tell(Told((body,)))
    with pytest.raises(UpstreamFailed, match="no answer that it could read"):
        await ask(upstream_at(provider.address), calling(chat_body()))
