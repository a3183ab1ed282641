"""Promise: whole requests of every dialect, one member of each made wrong, are answered, and without a 5xx."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import Dialect
from gateway.errors import InvalidRequest
from tests.dialects.strategies import conversations, json_values
from tests.dialects.translations import CODECS
from tests.randomness import examples
from tests.upstreams.gateway_process import GatewayProcess

pytest_plugins = ("tests.upstreams.fixtures",)

PATHS = {
    Dialect.OPENAI_CHAT: "/v1/chat/completions",
    Dialect.OPENAI_RESPONSES: "/v1/responses",
    Dialect.ANTHROPIC_MESSAGES: "/v1/messages",
}
MODELS = ["gpt-4.1-mini", "claude-haiku-4-5", "qwen3-8b", "responder"]
SERVER_ERROR = 500


@pytest.fixture(scope="module", name="client")
def _client(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
    with httpx.Client(base_url=gateway.address, headers=headers, timeout=30) as client:
        yield client


def _places(value: Any) -> list[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, member in members for place in [(value, key), *_places(member)]]


@st.composite
def _bodies(draw: st.DrawFn, codec: Codec) -> dict[str, Any]:
    """A whole request with one of its members gone, or in its place any JSON or another of its members."""
    conversation = draw(conversations(interleaved=True))
    try:
        body: dict[str, Any] = loads(dumps(codec.render_request(conversation, max_output_tokens=64).body))
    except InvalidRequest:
        reject()  # it says nothing that this dialect has words for
    body["model"] = draw(st.sampled_from(MODELS))
    container, key = draw(st.sampled_from(_places(body)))
    what = draw(st.sampled_from(["as it is", "gone", "odd", "another"]))
    if what == "gone":
        del container[key]
    elif what == "odd":
        container[key] = draw(json_values)
    elif what == "another":
        other, name = draw(st.sampled_from(_places(body)))
        container[key] = copy.deepcopy(other[name])
    return body


@pytest.mark.parametrize("codec", CODECS, ids=[codec.dialect.value for codec in CODECS])
@examples(60)
@given(data=st.data())
def test_a_request_with_one_wrong_member_is_answered(
    client: httpx.Client, gateway: GatewayProcess, codec: Codec, data: st.DataObject
) -> None:
    """Whatever model it goes to, passed on or translated, its answer is below 500 and an error says what is wrong."""
    answer = client.post(PATHS[codec.dialect], content=dumps(data.draw(_bodies(codec))))
    assert answer.status_code < SERVER_ERROR, (answer.status_code, answer.text)
    if not answer.is_success:
        assert answer.json()["error"]["message"]
    assert "a fault of the gateway" not in gateway.log
