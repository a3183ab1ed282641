"""The Anthropic-speaking upstream: headers, lists of models, and statuses held against the anthropic package's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from gateway.adapters.anthropic_upstream import API_VERSION, AnthropicUpstream
from gateway.adapters.transport import refusal
from gateway.domain.chat import Dialect
from gateway.errors import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.ports import UpstreamCall
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering

KEY = "sk-ant-secret"
EXPECTED: dict[int, type[UpstreamError]] = {
    400: UpstreamRefused,
    401: UpstreamDenied,
    403: UpstreamDenied,
    404: UpstreamRefused,
    408: UpstreamTimedOut,
    409: UpstreamRefused,
    412: UpstreamRefused,
    413: UpstreamRefused,
    422: UpstreamRefused,
    429: UpstreamRateLimited,
    431: UpstreamRefused,
    499: UpstreamRefused,
    501: UpstreamDenied,
    503: UpstreamOverloaded,
    504: UpstreamTimedOut,
    529: UpstreamOverloaded,
}
"""The statuses of the package's error classes → the error of ours that stands for them."""


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


WITH_STATUS = {
    each.__name__: status
    for each in _subclasses(anthropic.APIStatusError)
    if isinstance(status := getattr(each, "status_code", None), int)
}


def test_every_status_of_the_package_is_expected() -> None:
    """Every status that the package has a class for was decided upon here, and there are no others here."""
    assert set(WITH_STATUS.values()) == EXPECTED.keys()


@pytest.mark.parametrize("name", WITH_STATUS)
def test_each_error_of_the_package_is_the_intended_one_of_ours(name: str) -> None:
    """Each of the package's error classes has its class of ours, certainly unbilled, without the body's words."""
    status = WITH_STATUS[name]
    body = json.dumps({"type": "error", "error": {"type": "x", "message": f"{KEY} my diagnosis"}}).encode()
    error = refusal("up", status, body, "3")
    assert type(error) is EXPECTED[status]
    assert error.is_unbilled
    assert str(status) in error.message
    assert KEY not in repr(error)
    assert "diagnosis" not in repr(error)
    assert (error.retry_after_s == 3) is isinstance(error, UpstreamRateLimited | UpstreamOverloaded)
    if isinstance(error, UpstreamRefused):
        assert (error.http_status, error.body) == (status, body)


def test_other_server_errors_are_failures() -> None:
    """Statuses from 500 on without a class of their own are the package's InternalServerError: a failure."""
    for status in set(range(500, 600)) - EXPECTED.keys():
        assert type(refusal("up", status, b"", None)) is UpstreamFailed


def upstream_at(url: str, *, api_key: str | None = KEY, **headers: str) -> AnthropicUpstream:
    """An upstream at ``url``."""
    return AnthropicUpstream(name="up", base_url=url, api_key=api_key, headers=headers, connections=2)


def call(**headers: str) -> UpstreamCall:
    """A call on behalf of a client that sent ``headers``."""
    return UpstreamCall(
        dialect=Dialect.ANTHROPIC_MESSAGES,
        path="/v1/messages",
        body=b'{"a": 1}',
        is_stream=False,
        request_id="r",
        deadline_s=PATIENCE_S,
        first_byte_s=PATIENCE_S,
        idle_s=PATIENCE_S,
        headers=headers,
    )


@pytest.mark.parametrize("version", [None, "2099-01-01"])
async def test_headers_of_a_call(version: str | None) -> None:
    """Our key and a version are always sent, the client's version and beta headers go along, its credentials never."""
    client = {"anthropic-beta": "a,b", "x-api-key": "sk-client", "authorization": "Bearer sk-client", "accept": "x"}
    if version:
        client["anthropic-version"] = version
    async with RawServer(answering(answer())) as server:
        upstream = upstream_at(server.url, **{"X-Own": "1"})
        async with upstream.open(call(**client)) as reply:
            assert await reply.read() == b"{}"
        await upstream.close()
    headers = server.asked[0].headers
    assert len(headers) == len(dict(headers))
    assert dict(headers) == {
        "content-length": "8",
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "ponder",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "anthropic-version": version or API_VERSION,
        "anthropic-beta": "a,b",
        "x-api-key": KEY,
        "x-own": "1",
    }


async def test_models_are_listed_page_by_page() -> None:
    """All pages of the list are read, with the headers of a call."""
    pages = (
        b'{"data": [{"id": "a"}, {"id": "b/c"}], "has_more": true, "last_id": "b/c"}',
        b'{"data": [{"id": "d"}], "has_more": false, "last_id": "d"}',
    )
    async with RawServer(answering(*map(answer, pages))) as server:
        upstream = upstream_at(server.url)
        assert await upstream.model_names(timeout_s=PATIENCE_S) == ("a", "b/c", "d")
        await upstream.close()
    assert [asked.start for asked in server.asked] == [
        "GET /v1/models?limit=1000 HTTP/1.1",
        "GET /v1/models?limit=1000&after_id=b%2Fc HTTP/1.1",
    ]
    assert all(dict(asked.headers)["x-api-key"] == KEY for asked in server.asked)


async def test_a_list_that_never_ends_is_cut() -> None:
    """A server that always has one more page is not followed for ever."""

    async def serve(peer: Peer) -> None:
        while True:
            await peer.asked()
            rows = ", ".join('{"id": "m"}' for _ in range(1000))
            await peer.say(answer(b'{"data": [%s], "has_more": true, "last_id": "m"}' % rows.encode()))

    async with RawServer(serve) as server:
        upstream = upstream_at(server.url)
        assert len(await upstream.model_names(timeout_s=PATIENCE_S)) == 10_000
        await upstream.close()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 7}'])
async def test_what_is_no_list_of_models(body: bytes) -> None:
    """A server that answers with something else is reported as an upstream's failure."""
    async with RawServer(answering(answer(body))) as server:
        upstream = upstream_at(server.url)
        with pytest.raises(UpstreamFailed, match="is base_url right"):
            await upstream.model_names(timeout_s=PATIENCE_S)
        await upstream.close()
