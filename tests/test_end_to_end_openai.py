"""The official openai package against the real gateway, in front of every kind of provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.heard import CHAT_TOOL, RESPONSES_TOOL, openai_client
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import GREETING, THOUGHTFUL_TOOL
from tests.upstreams.signing import sign

pytest_plugins = ("tests.upstreams.fixtures",)

ASK: list[Any] = [{"role": "user", "content": "A question that no log may show"}]
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(name="client")
def _client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai_client(gateway) as client:
        yield client


async def test_async_client_streams(gateway: GatewayProcess) -> None:
    """The asynchronous client streams an answer to its end."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key) as client:
        stream = await client.chat.completions.create(model="gpt-4.1-mini", messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == GREETING.text
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_answer_headers_and_record_agree(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """An answer names its request, arm and cost, and the record under that id says the same and more."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-4.1-mini", messages=ASK, max_tokens=77)
    request_id = raw.headers["x-ponder-request-id"]
    assert UUID7.fullmatch(request_id)
    assert raw.headers["x-request-id"] == request_id
    assert raw.headers["x-ponder-arm"] == "gpt-4.1-mini"
    assert raw.headers["x-ponder-cost-usd"] == "0.00006"
    assert "x-ponder-degraded" not in raw.headers
    record = gateway.record(request_id)
    assert record["id"] == request_id
    assert record["result"] == "answered"
    assert record["status"] == 200
    assert record["endpoint"] == "/v1/chat/completions"
    assert record["model_asked"] == "gpt-4.1-mini"
    assert record["cost_usd"] == "0.00006"
    assert record["is_cost_complete"] is True
    assert record["finish"] == "stop"
    assert record["answer_id"] == raw.parse().id
    assert record["plan"]["model"] == "gpt-4.1-mini"
    (call,) = record["calls"]
    assert call["upstream"] == "openai"
    assert call["sent"] == {"max_tokens": 77}
    assert call["upstream_request_id"].startswith("req_")
    assert call["spent"]["raw"]["prompt_tokens"] == 42
    assert (call["spent"]["input_tokens"], call["spent"]["cached_tokens"], call["spent"]["output_tokens"]) == (
        26,
        16,
        30,
    )


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "claude-sonnet-4-6", "qwen3-8b", "responder"])
def test_usage_chunk_comes_only_when_asked(client: openai.OpenAI, model: str) -> None:
    """A stream has a usage chunk exactly when the client asked, whoever answers."""
    plain = list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    assert all(chunk.choices for chunk in plain)
    assert all(chunk.usage is None for chunk in plain)
    asked = list(
        client.chat.completions.create(model=model, messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    assert [chunk.usage is None for chunk in asked] == [True] * (len(asked) - 1) + [False]
    assert asked[-1].choices == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_redacted", [False, True], ids=["plain", "redacted"])
def test_thinking_survives_a_tool_loop_in_chat(
    client: openai.OpenAI, anthropic_server: AnthropicServer, *, is_redacted: bool, stream: bool
) -> None:
    """A chat client that returns ``thinking_blocks`` untouched keeps Anthropic's signatures valid."""
    anthropic_server.script("claude-sonnet-4-6", replace(THOUGHTFUL_TOOL, is_redacted=is_redacted))
    settings: dict[str, Any] = {"model": "claude-sonnet-4-6", "tools": [CHAT_TOOL], "reasoning_effort": "medium"}
    answer: Any = client.chat.completions.create(messages=ASK, stream=stream, **settings)
    message: Any = _message_of_stream(answer) if stream else answer.choices[0].message.to_dict()
    blocks = message["thinking_blocks"]
    assert [block["type"] for block in blocks] == ["redacted_thinking"] * is_redacted + ["thinking"]
    assert (blocks[-1]["thinking"], blocks[-1]["signature"]) == (
        THOUGHTFUL_TOOL.thinking,
        sign(THOUGHTFUL_TOOL.thinking),
    )
    call_id = message["tool_calls"][0]["id"]
    result: Any = {"role": "tool", "tool_call_id": call_id, "content": "18 °C"}
    second = client.chat.completions.create(messages=[*ASK, message, result], **settings)
    assert second.choices[0].message.content == GREETING.text
    sent = anthropic_server.last.json
    assert sent["output_config"] == {"effort": "medium"}
    kinds = [block["type"] for block in sent["messages"][1]["content"]]
    assert kinds == [block["type"] for block in blocks] + ["tool_use"]
    assert sent["messages"][2]["content"][0]["tool_use_id"] == call_id


def _message_of_stream(stream: Any) -> dict[str, Any]:
    """An assistant message put together from chunks, as an agent does it."""
    blocks: list[Any] = []
    calls: dict[int, dict[str, Any]] = {}
    for chunk in stream:
        for choice in chunk.to_dict()["choices"]:
            blocks += choice["delta"].get("thinking_blocks") or []
            for piece in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(piece["index"], {"type": "function", "function": {"arguments": ""}})
                call["id"] = piece.get("id") or call["id"]
                call["function"]["name"] = piece["function"].get("name") or call["function"]["name"]
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
    return {
        "role": "assistant",
        "content": None,
        "thinking_blocks": blocks,
        "tool_calls": [call for _, call in sorted(calls.items())],
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "responder", "gpt-5.4"])
def test_thinking_survives_a_tool_loop_in_responses(
    client: openai.OpenAI,
    anthropic_server: AnthropicServer,
    openai_server: OpenAIServer,
    *,
    model: str,
    stream: bool,
) -> None:
    """A responses client that returns its output items keeps signed and encrypted thinking valid."""
    for server, own in ((anthropic_server, "claude-sonnet-4-6"), (openai_server, "gpt-5.4")):
        server.script(own, THOUGHTFUL_TOOL)
    settings: dict[str, Any] = {"model": model, "tools": [RESPONSES_TOOL], "reasoning": {"effort": "medium"}}
    answer: Any = client.responses.create(input="Weather?", stream=stream, store=False, **settings)
    first = list(answer)[-1].response if stream else answer
    items: Any = [item.to_dict() for item in first.output]
    assert [item["type"] for item in items] == ["reasoning", "function_call"]
    result: Any = {"type": "function_call_output", "call_id": items[1]["call_id"], "output": "18 °C"}
    question: Any = {"role": "user", "content": "Weather?"}
    second = client.responses.create(input=[question, *items, result], store=False, **settings)
    assert second.output_text == GREETING.text


def test_stored_responses_continue_at_their_upstream(client: openai.OpenAI) -> None:
    """A response is continued by its id at the upstream that stores it, and refused elsewhere with advice."""
    first = client.responses.create(model="gpt-5.4", input="One")
    second = client.responses.create(model="gpt-5.4", input="Two", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError, match="stored at upstream 'openai'") as caught:
        client.responses.create(model="claude-sonnet-4-6", input="Two", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


def test_embeddings(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """Embeddings pass through in either encoding, priced and recorded."""
    raw = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input=["one", "two"])
    assert raw.parse().data[1].embedding[0] == pytest.approx(2 / 16)
    assert raw.headers["x-ponder-cost-usd"] == "0.0000002"
    plain = client.embeddings.create(model="text-embedding-3-small", input="one", encoding_format="float")
    assert plain.data[0].embedding[0] == pytest.approx(1 / 16)
    assert gateway.record(raw.headers["x-ponder-request-id"])["endpoint"] == "/v1/embeddings"
    with pytest.raises(openai.BadRequestError, match="does not offer /v1/embeddings"):
        client.embeddings.create(model="claude-sonnet-4-6", input="one")


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    """What a policy decides is listed first, then the configured models; each can be looked up, and another cannot."""
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "auto"
    names = [name for name in listed if not name.startswith("auto")]
    assert names == sorted(names)
    assert {"gpt-4.1-mini", "claude-sonnet-4-6", "qwen3-8b"} <= set(names)
    assert client.models.retrieve("qwen3-8b").owned_by == "compatible"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_unknown_model_names_those_there_are(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """A model that is not configured is 404 with the list, and is on record."""
    with pytest.raises(openai.NotFoundError, match=r"available: alias, claude-haiku-4-5, .*qwen3-8b") as caught:
        client.chat.completions.create(model="gpt-9", messages=ASK)
    assert caught.value.code == "unknown_model"
    assert caught.value.param == "model"
    assert gateway.record(caught.value.response.headers["x-ponder-request-id"])["result"] == "refused"


@pytest.mark.parametrize("key", ["wrong", "x" * 2000, "ключ"], ids=["wrong", "long", "not ascii"])
def test_unknown_key_is_401(gateway: GatewayProcess, key: str) -> None:
    """A key that is not known is refused before the body is looked at."""
    answer = gateway.post(
        "/v1/chat/completions", headers={"authorization": f"Bearer {key}".encode()}, content=b"not even JSON"
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "authentication_failed"
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="gpt-4.1-mini", messages=ASK)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_refusals_of_the_same_dialect_pass_unchanged(client: openai.OpenAI, openai_server: OpenAIServer) -> None:
    """The provider's own 400 reaches the client as the provider wrote it."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-5.4", messages=ASK, max_tokens=9)
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == "max_tokens"
    assert caught.value.response.content == openai_server.sent[-1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_refusals_of_another_dialect_come_in_the_clients_own(client: openai.OpenAI, *, stream: bool) -> None:
    """A 400 of Anthropic's reaches a chat client in OpenAI's error shape, with the provider's words."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="claude-opus-4-8", messages=ASK, temperature=0.2, stream=stream)
    body = caught.value.response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code", "help"}
    assert body["error"]["type"] == "invalid_request_error"
    assert "temperature" in body["error"]["message"]


def test_a_wrong_key_of_ours_is_not_the_clients_fault(client: openai.OpenAI) -> None:
    """When the provider refuses the gateway's key, the client sees 502 and not 401."""
    with pytest.raises(openai.InternalServerError, match="check the key of this upstream") as caught:
        client.chat.completions.create(model="locked", messages=ASK)
    assert caught.value.status_code == 502
    assert "loopback-wrong" not in caught.value.response.text


def test_model_unknown_upstream(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """A configured model that its provider does not know is the provider's 404, recorded as refused."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nowhere", messages=ASK)
    record = gateway.record(caught.value.response.headers["x-ponder-request-id"])
    assert (record["result"], record["status"], record["calls"][0]["status"]) == ("refused", 404, 404)


def test_unpriced_models_are_refused_with_the_remedy(client: openai.OpenAI) -> None:
    """A model without a price is refused, and the message says how to price it."""
    with pytest.raises(openai.BadRequestError, match=r"input_per_mtok") as caught:
        client.chat.completions.create(model="unpriced", messages=ASK)
    assert caught.value.code == "unpriced_model"


def test_several_candidates_only_where_the_dialect_has_them(client: openai.OpenAI) -> None:
    """``n`` passes to a chat upstream and is refused, with advice, where it would need translation."""
    answer = client.chat.completions.create(model="gpt-4.1-mini", messages=ASK, n=2)
    assert [choice.message.content for choice in answer.choices] == [GREETING.text] * 2
    with pytest.raises(openai.BadRequestError, match="send n requests") as caught:
        client.chat.completions.create(model="claude-sonnet-4-6", messages=ASK, n=2)
    assert caught.value.param == "n"


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "not valid JSON"),
        (b'{"model": "gpt-4.1-mini", ', 400, "not valid JSON"),
        (b"[1]", 400, "must be a JSON object"),
        (b'{"messages": []}', 400, "'model'"),
        (b'{"model": 7, "messages": []}', 400, "'model'"),
        (b'{"model": "gpt-4.1-mini", "stream": "yes"}', 400, "'stream'"),
        (b'{"model": "gpt-4.1-mini", "messages": [], "model": "alias"}', 400, "twice"),
        (b'{"model": "gpt-4.1-mini", "messages": [], "mod\\u0065l": "alias"}', 400, "twice"),
        (b'{"model": "gpt-4.1-mini", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "depth limit"),
        (b'{"model": "gpt-4.1-mini", "messages": "' + b"x" * 1_100_000 + b'"}', 413, "larger than 1048576 bytes"),
    ],
    ids=["empty", "cut", "array", "no-model", "model-type", "stream-type", "twice", "twice-escaped", "deep", "large"],
)
def test_bodies_that_cannot_be_read(gateway: GatewayProcess, content: bytes, status: int, said: str) -> None:
    """A body that is no request is refused in OpenAI's shape, and the message says what is wrong."""
    answer = gateway.post("/v1/chat/completions", content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert answer.headers["x-ponder-request-id"]


def test_large_bodies_in_pieces_are_refused_too(gateway: GatewayProcess) -> None:
    """The size limit holds for bodies without a declared length."""
    answer = gateway.post("/v1/chat/completions", content=(b" " * 65536 for _ in range(20)))
    assert answer.status_code == 413


def test_other_methods_and_paths(gateway: GatewayProcess) -> None:
    """A wrong method is 405 and a path that does not exist 404, both as JSON errors."""
    assert gateway.get("/v1/chat/completions").status_code == 405
    missing = gateway.get("/v1/completions")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "not_found"


def test_hints_tighten_limits_and_stay_here(client: openai.OpenAI, openai_server: OpenAIServer) -> None:
    """The ``ponder`` field never reaches the provider; a cost limit that cannot hold is 402."""
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4.1-mini", messages=ASK, extra_body={"ponder": {"max_cost_usd": 1, "tags": {"team": "blue"}}}
    )
    assert "ponder" not in openai_server.last.json
    assert raw.parse().choices[0].message.content == GREETING.text
    with pytest.raises(openai.APIStatusError, match="max_cost_usd") as caught:
        client.chat.completions.create(
            model="gpt-4.1-mini", messages=ASK, extra_headers={"x-ponder-max-cost-usd": "0.00000001"}
        )
    assert caught.value.status_code == 402
    with pytest.raises(openai.BadRequestError, match="unknown hint"):
        client.chat.completions.create(model="gpt-4.1-mini", messages=ASK, extra_body={"ponder": {"max_cost": 1}})


def test_history_with_thinking_moves_to_a_model_that_has_none(client: openai.OpenAI) -> None:
    """A conversation with extension fields of one provider can go on at OpenAI, which refuses such fields."""
    history: Any = [
        *ASK,
        {
            "role": "assistant",
            "content": "42.",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}],
        },
        *ASK,
    ]
    answer = client.responses.create(
        model="gpt-5.4", input=[{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "42."}, *ASK]
    )
    assert answer.output_text == GREETING.text
    translated = client.chat.completions.create(model="responder", messages=history)
    assert translated.choices[0].message.content == GREETING.text


def test_logs_hold_no_prompt_and_no_secret(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    """One JSON line per request, with its id and without its words or keys."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-4.1-mini", messages=ASK)
    request_id = raw.headers["x-ponder-request-id"]
    line = gateway.log_line(request_id)
    assert (line["event"], line["status"], line["model"]) == ("request", 200, "gpt-4.1-mini")
    assert "no log may show" not in gateway.log
    assert gateway.key not in gateway.log
    assert "sk-loopback" not in gateway.log
