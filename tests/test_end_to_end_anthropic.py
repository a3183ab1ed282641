"""The official anthropic package against the real gateway, in front of every kind of provider."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import pytest

from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.heard import MESSAGES_TOOL, anthropic_client
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import GREETING, ONE_TOOL, PARALLEL_TOOLS, THOUGHTFUL_TOOL, Counts, Reply

pytest_plugins = ("tests.upstreams.fixtures",)

ASK: list[Any] = [{"role": "user", "content": "A question"}]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n not really").decode("ascii")
BUDGET: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4096}


@pytest.fixture(name="client")
def _client(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic_client(gateway) as client:
        yield client


async def test_async_client_streams(gateway: GatewayProcess) -> None:
    """The asynchronous client streams an answer to its end."""
    async with (
        anthropic.AsyncAnthropic(base_url=gateway.address, api_key=gateway.key) as client,
        client.messages.stream(model="claude-sonnet-4-6", max_tokens=99, messages=ASK) as stream,
    ):
        text = "".join([piece async for piece in stream.text_stream])
    assert text == GREETING.text


def test_answer_headers_and_record_agree(client: anthropic.Anthropic, gateway: GatewayProcess) -> None:
    """An answer names its request, arm and cost, and the record under that id says the same and more."""
    raw = client.messages.with_raw_response.create(
        model="claude-haiku-4-5", max_tokens=99, messages=ASK, extra_headers={"anthropic-beta": "some-beta-2026-01-01"}
    )
    request_id = raw.headers["x-ponder-request-id"]
    assert raw.headers["request-id"] == request_id
    assert raw.headers["x-ponder-arm"] == "claude-haiku-4-5"
    # 26 input tokens at $1, 16 cached at $0.10, 30 output at $5 per million.
    assert raw.headers["x-ponder-cost-usd"] == "0.0001776"
    record = gateway.record(request_id)
    assert (record["result"], record["endpoint"], record["finish"]) == ("answered", "/v1/messages", "end_turn")
    assert (record["cost_usd"], record["is_cost_complete"]) == ("0.0001776", True)
    (call,) = record["calls"]
    assert call["spent"]["raw"]["cache_read_input_tokens"] == 16


def test_versions_and_betas_go_along(client: anthropic.Anthropic, anthropic_server: AnthropicServer) -> None:
    """The client's API version and beta headers reach Anthropic; its key for the gateway does not."""
    client.messages.create(
        model="claude-sonnet-4-6", max_tokens=99, messages=ASK, extra_headers={"anthropic-beta": "some-beta-2026-01-01"}
    )
    headers = anthropic_server.last.headers
    assert headers["anthropic-beta"] == "some-beta-2026-01-01"
    assert headers["anthropic-version"] == client.default_headers["anthropic-version"]
    assert client.api_key not in headers.values()
    assert f"Bearer {client.api_key}" not in headers.values()


def test_key_in_x_api_key(gateway: GatewayProcess, anthropic_server: AnthropicServer) -> None:
    """Older packages send the key as ``x-api-key``; that is as good as a bearer token."""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": ASK}
    headers = {"x-api-key": gateway.key}
    answer = httpx.post(f"{gateway.address}/v1/messages", headers=headers, json=body, timeout=30)
    assert answer.status_code == 200
    assert anthropic_server.last.headers["anthropic-version"] == "2023-06-01"


def _continue(client: anthropic.Anthropic, content: Any, settings: dict[str, Any]) -> Any:
    calls = [block for block in content if block["type"] == "tool_use"]
    results: Any = [{"type": "tool_result", "tool_use_id": call["id"], "content": "18 °C"} for call in calls]
    return client.messages.create(
        messages=[*ASK, {"role": "assistant", "content": content}, {"role": "user", "content": results}], **settings
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking_survives_a_tool_loop(
    client: anthropic.Anthropic, anthropic_server: AnthropicServer, *, stream: bool
) -> None:
    """Signed and redacted thinking comes and goes unchanged, and a changed signature is Anthropic's own 400."""
    anthropic_server.script("claude-haiku-4-5", replace(THOUGHTFUL_TOOL, is_redacted=True))
    settings: dict[str, Any] = {"model": "claude-haiku-4-5", "tools": [MESSAGES_TOOL], **BUDGET}
    if stream:
        with client.messages.stream(messages=ASK, **settings) as events:
            first = events.get_final_message()
    else:
        first = client.messages.create(messages=ASK, **settings)
    content: Any = [block.to_dict() for block in first.content]
    assert [block["type"] for block in content] == ["redacted_thinking", "thinking", "tool_use"]
    assert _continue(client, content, settings).content[0].to_dict()["text"] == GREETING.text
    content[1]["signature"] = content[1]["signature"].replace("+", " ").replace("/", "_").lower()
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`") as caught:
        _continue(client, content, settings)
    assert caught.value.response.content == anthropic_server.sent[-1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_openai_reasoning_survives_a_tool_loop(
    client: anthropic.Anthropic, openai_server: OpenAIServer, *, stream: bool
) -> None:
    """OpenAI's encrypted reasoning travels through an Anthropic client as a signature, and comes back valid."""
    openai_server.script("gpt-5.4", THOUGHTFUL_TOOL)
    settings: dict[str, Any] = {"model": "responder", "tools": [MESSAGES_TOOL], "max_tokens": 4096}
    if stream:
        with client.messages.stream(messages=ASK, **settings) as events:
            first = events.get_final_message()
    else:
        first = client.messages.create(messages=ASK, **settings)
    content: Any = [block.to_dict() for block in first.content]
    assert [block["type"] for block in content] == ["thinking", "tool_use"]
    assert _continue(client, content, settings).content[0].to_dict()["text"] == GREETING.text
    items = openai_server.last.json["input"]
    assert [item["type"] for item in items if "type" in item and item["type"] != "message"] == [
        "reasoning",
        "function_call",
        "function_call_output",
    ]


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "qwen3-8b", "responder"])
def test_signed_thinking_moves_to_another_provider(
    client: anthropic.Anthropic, anthropic_server: AnthropicServer, model: str
) -> None:
    """A tool loop that began at Anthropic with thinking can go on at a provider that cannot check signatures."""
    anthropic_server.script("claude-sonnet-4-6", THOUGHTFUL_TOOL)
    settings: dict[str, Any] = {"tools": [MESSAGES_TOOL], "max_tokens": 4096}
    first = client.messages.create(model="claude-sonnet-4-6", messages=ASK, **settings)
    content: Any = [block.to_dict() for block in first.content]
    answer = _continue(client, content, {"model": model, **settings})
    assert answer.content[0].to_dict()["text"] == GREETING.text


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "qwen3-8b", "responder"])
def test_parallel_calls_and_results_cross_dialects(
    client: anthropic.Anthropic, openai_server: OpenAIServer, compatible_server: OpenAIServer, model: str
) -> None:
    """Two calls of one turn, and their results in one message, reach an OpenAI server in its own order."""
    for server, own in ((openai_server, "gpt-4.1-mini"), (openai_server, "gpt-5.4"), (compatible_server, "qwen3-8b")):
        server.script(own, PARALLEL_TOOLS)
    settings: dict[str, Any] = {"model": model, "tools": [MESSAGES_TOOL], "max_tokens": 999}
    first = client.messages.create(messages=ASK, **settings)
    content: Any = [block.to_dict() for block in first.content]
    assert [block["type"] for block in content] == ["text", "tool_use", "tool_use"]
    assert len({block["id"] for block in content[1:]}) == 2
    assert _continue(client, content, settings).stop_reason == "end_turn"


def test_a_rich_request_reaches_a_chat_server_whole(client: anthropic.Anthropic, openai_server: OpenAIServer) -> None:
    """System text, an image, a forced tool, stop sequences and the token limit are said in OpenAI's words."""
    openai_server.script("gpt-4.1-mini", ONE_TOOL)
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    client.messages.create(
        model="gpt-4.1-mini",
        max_tokens=123,
        system=[{"type": "text", "text": "Be brief."}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}],
        tools=[MESSAGES_TOOL],
        tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
    )
    sent = openai_server.last.json
    assert sent["messages"][0]["content"] == "Be brief."
    assert sent["messages"][1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PIXEL}"},
    }
    assert sent["tools"][0]["function"]["name"] == "get_weather"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert sent["parallel_tool_calls"] is False
    assert sent["stop"] in ("END", ["END"])
    assert 123 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_limits_reach_reasoning_models_in_the_field_they_take(client: anthropic.Anthropic) -> None:
    """``max_tokens`` is required by Anthropic's dialect and refused by OpenAI's reasoning models: it is renamed."""
    answer = client.messages.create(model="gpt-5.4", max_tokens=123, messages=ASK)
    assert answer.content[0].to_dict()["text"] == GREETING.text


def test_stop_sequences_are_named(client: anthropic.Anthropic, anthropic_server: AnthropicServer) -> None:
    """The stop sequence that ended an answer is named."""
    anthropic_server.script("claude-sonnet-4-6", Reply(text="One two", stopped_by="END"))
    answer = client.messages.create(model="claude-sonnet-4-6", max_tokens=99, messages=ASK, stop_sequences=["END"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")


def test_cache_reads_and_writes_have_their_prices(
    client: anthropic.Anthropic, gateway: GatewayProcess, anthropic_server: AnthropicServer
) -> None:
    """Cache reads and writes keep their classes, and each has its price."""
    anthropic_server.script("claude-haiku-4-5", Reply(text="x", counts=Counts(prompt=100, cached=30, cache_write=20)))
    raw = client.messages.with_raw_response.create(model="claude-haiku-4-5", max_tokens=9, messages=ASK)
    # 50 at $1, 30 read at $0.10, 20 written at $1.25, 30 out at $5 per million.
    assert raw.headers["x-ponder-cost-usd"] == "0.000228"
    spent = gateway.record(raw.headers["x-ponder-request-id"])["calls"][0]["spent"]
    assert (spent["input_tokens"], spent["cached_tokens"], spent["cache_write_tokens"]) == (50, 30, 20)


def test_tokens_are_counted_or_estimated_and_said_so(client: anthropic.Anthropic) -> None:
    """Anthropic counts for its own models; for others we estimate, and a header says that we did."""
    counted = client.messages.with_raw_response.count_tokens(model="claude-sonnet-4-6", messages=ASK)
    assert counted.parse().input_tokens == 14
    assert "x-ponder-degraded" not in counted.headers
    estimated = client.messages.with_raw_response.count_tokens(
        model="gpt-4.1-mini", messages=[{"role": "user", "content": "word " * 400}]
    )
    assert 300 <= estimated.parse().input_tokens <= 700
    assert "estimated" in estimated.headers["x-ponder-degraded"]


def test_models_are_listed_and_found(client: anthropic.Anthropic) -> None:
    """The configured models are listed in Anthropic's shape, and each can be looked up."""
    models = {model.id: model for model in client.models.list()}
    assert {"gpt-4.1-mini", "claude-sonnet-4-6", "qwen3-8b"} <= models.keys()
    found = client.models.retrieve("claude-haiku-4-5")
    assert found == models["claude-haiku-4-5"]
    assert found.max_tokens == 64000
    assert found.lifecycle == "active"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-9")


def test_unknown_model_names_those_there_are(client: anthropic.Anthropic) -> None:
    """A model that is not configured is 404 with the list, in Anthropic's shape."""
    with pytest.raises(anthropic.NotFoundError, match=r"available: alias, claude-haiku-4-5, ") as caught:
        client.messages.create(model="claude-9", max_tokens=9, messages=ASK)
    assert caught.value.type == "not_found_error"
    body = caught.value.response.json()
    assert set(body) == {"type", "error", "request_id"}
    assert body["request_id"] == caught.value.response.headers["x-ponder-request-id"]


def test_unknown_key_is_401(gateway: GatewayProcess) -> None:
    """A key that is not known is an authentication error."""
    with (
        anthropic.Anthropic(base_url=gateway.address, api_key="wrong") as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=ASK)
    assert caught.value.type == "authentication_error"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["gpt-4.1-mini", "responder"])
def test_refusals_of_another_dialect_come_in_the_clients_own(
    client: anthropic.Anthropic, *, model: str, stream: bool
) -> None:
    """A 400 of OpenAI's reaches an Anthropic client in Anthropic's error shape, with the provider's words."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            model=model,
            max_tokens=99,
            messages=[{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}],
            stream=stream,
        )
    body = caught.value.response.json()
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert "tool" in body["error"]["message"]


def test_too_large_is_413(gateway: GatewayProcess) -> None:
    """A body above the limit is Anthropic's ``request_too_large``."""
    answer = gateway.post("/v1/messages", content=b'{"model": "' + b"x" * 1_100_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


def test_duplicate_keys_are_refused(gateway: GatewayProcess) -> None:
    """A body that names a top-level key twice is refused: parsers disagree on which one counts."""
    answer = gateway.post("/v1/messages", content=b'{"model": "claude-sonnet-4-6", "max_tokens": 1, "max_tokens": 9}')
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "type": "invalid_request_error",
        "message": "the body has a top-level key twice; each key may stand once",
        "help": "docs/troubleshoot.md#error-codes",
    }
