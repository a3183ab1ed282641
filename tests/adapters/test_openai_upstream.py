"""The OpenAI-speaking upstream: what it adds to a call, what it passes on, and what it never does."""

from __future__ import annotations

import pytest

from gateway.adapters.openai_upstream import OpenAIUpstream
from gateway.domain.chat import Dialect
from gateway.errors import UpstreamFailed
from gateway.ports import UpstreamCall
from tests.adapters.raw_server import PATIENCE_S, RawServer, answer, answering


def upstream_at(url: str, *, api_key: str | None = "sk-up", **headers: str) -> OpenAIUpstream:
    """An upstream at ``url``."""
    return OpenAIUpstream(
        name="up", base_url=url, api_key=api_key, dialects=(Dialect.OPENAI_CHAT,), headers=headers, connections=2
    )


def call(**headers: str) -> UpstreamCall:
    """A call on behalf of a client that sent ``headers``."""
    return UpstreamCall(
        dialect=Dialect.OPENAI_CHAT,
        path="/chat/completions",
        body=b'{"a": 1}',
        is_stream=False,
        request_id="r",
        deadline_s=PATIENCE_S,
        first_byte_s=PATIENCE_S,
        idle_s=PATIENCE_S,
        headers=headers,
    )


async def test_headers_of_a_call() -> None:
    """The upstream's own key is sent; of the client's headers only those that concern the provider go along."""
    client = {
        "openai-beta": "assistants=v2",
        "traceparent": "00-1-2-01",
        "x-client-request-id": "c1",
        "authorization": "Bearer sk-client",
        "cookie": "a=b",
        "host": "elsewhere",
        "content-length": "999",
        "content-type": "text/plain",
        "x-forwarded-for": "10.0.0.1",
    }
    async with RawServer(answering(answer(b'{"ok": true}'))) as server:
        upstream = upstream_at(f"{server.url}/v1", **{"OpenAI-Organization": "org-1"})
        async with upstream.open(call(**client)) as reply:
            assert await reply.read() == b'{"ok": true}'
        await upstream.close()
    (asked,) = server.asked
    assert asked.start == "POST /v1/chat/completions HTTP/1.1"
    assert asked.body == b'{"a": 1}'
    headers = asked.headers
    assert len(headers) == len(dict(headers))
    assert dict(headers) == {
        "content-length": "8",
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "ponder",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer sk-up",
        "openai-organization": "org-1",
        "openai-beta": "assistants=v2",
        "traceparent": "00-1-2-01",
        "x-client-request-id": "c1",
    }


async def test_no_key_no_authorization() -> None:
    """A server without a key is called without one."""
    async with RawServer(answering(answer())) as server:
        upstream = upstream_at(server.url, api_key=None)
        async with upstream.open(call(authorization="Bearer sk-client")):
            pass
        await upstream.close()
    assert "authorization" not in dict(server.asked[0].headers)


async def test_models_are_listed() -> None:
    """The server's list gives the names; rows that are none are passed over."""
    listing = b'{"object": "list", "data": [{"id": "a"}, {"id": 7}, {}, "b", {"id": "c"}]}'
    async with RawServer(answering(answer(listing))) as server:
        upstream = upstream_at(f"{server.url}/v1")
        assert await upstream.model_names(timeout_s=PATIENCE_S) == ("a", "c")
        await upstream.close()
    assert server.asked[0].start == "GET /v1/models HTTP/1.1"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": {}}', b""])
async def test_what_is_no_list_of_models(body: bytes) -> None:
    """A server that answers with something else is reported as an upstream's failure."""
    async with RawServer(answering(answer(body))) as server:
        upstream = upstream_at(server.url)
        with pytest.raises(UpstreamFailed, match="is base_url right"):
            await upstream.model_names(timeout_s=PATIENCE_S)
        await upstream.close()
