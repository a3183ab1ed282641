"""The official packages talk to the stand-in providers: proof that those are real enough."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.upstreams import anthropic_server as anthropic_stand_in
from tests.upstreams import openai_server as openai_stand_in
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.faults import FAULTS
from tests.upstreams.faulty_server import FaultyServer, closed_port
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import (
    CUT_SHORT,
    DECLINED,
    GREETING,
    ONE_TOOL,
    PARALLEL_TOOLS,
    THOUGHTFUL,
    THOUGHTFUL_TOOL,
    Reply,
)

pytest_plugins = ("tests.upstreams.fixtures",)

ASK: list[Any] = [{"role": "user", "content": "Hello"}]
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
MESSAGES_TOOL: Any = {"name": "get_weather", "input_schema": {"type": "object"}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(name="openai_client")
def _openai_client(openai_server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{openai_server.address}/v1", api_key=openai_stand_in.KEY, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.fixture(name="anthropic_client")
def _anthropic_client(anthropic_server: AnthropicServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=anthropic_server.address, api_key=anthropic_stand_in.KEY, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.mark.parametrize("reply", [GREETING, ONE_TOOL, PARALLEL_TOOLS, DECLINED, CUT_SHORT])
def test_chat_stream_joins_to_the_whole_answer(
    openai_client: openai.OpenAI, openai_server: OpenAIServer, reply: Reply
) -> None:
    """What the openai package accumulates from a stream equals the answer without streaming."""
    openai_server.script("gpt-4.1-mini", reply, reply)
    whole: Any = openai_client.chat.completions.create(model="gpt-4.1-mini", messages=ASK, tools=[CHAT_TOOL])
    with openai_client.chat.completions.stream(model="gpt-4.1-mini", messages=ASK, tools=[CHAT_TOOL]) as stream:
        for _ in stream:
            pass
        try:
            joined: Any = stream.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            joined = cut.completion
    assert joined.choices[0].finish_reason == whole.choices[0].finish_reason
    assert joined.choices[0].message.content == whole.choices[0].message.content
    assert joined.choices[0].message.refusal == whole.choices[0].message.refusal
    calls = [call.function.arguments for call in whole.choices[0].message.tool_calls or ()]
    assert [call.function.arguments for call in joined.choices[0].message.tool_calls or ()] == calls
    assert calls == [tool.arguments for tool in reply.tools]


def test_usage_chunk_comes_only_when_asked(openai_client: openai.OpenAI) -> None:
    """Without ``include_usage`` no chunk has usage; with it, all have null but one last with counts."""
    plain = list(openai_client.chat.completions.create(model="gpt-4.1-mini", messages=ASK, stream=True))
    assert not any("usage" in chunk.model_fields_set for chunk in plain)
    asked = list(
        openai_client.chat.completions.create(
            model="gpt-4.1-mini", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    assert all("usage" in chunk.model_fields_set for chunk in asked)
    assert [chunk.usage is None for chunk in asked] == [True] * (len(asked) - 1) + [False]
    assert asked[-1].choices == []


def test_compatible_server_shows_its_reasoning(compatible_server: OpenAIServer) -> None:
    """A compatible server answers with ``reasoning_content`` and takes fields that OpenAI refuses."""
    compatible_server.script("qwen3-8b", THOUGHTFUL)
    with openai.OpenAI(base_url=f"{compatible_server.address}/v1", api_key=openai_stand_in.KEY) as client:
        answer = client.chat.completions.create(
            model="qwen3-8b", messages=ASK, extra_body={"thinking_token_budget": 64}
        )
    assert answer.choices[0].message.model_extra == {"reasoning_content": THOUGHTFUL.thinking}


@pytest.mark.parametrize("reply", [GREETING, ONE_TOOL, PARALLEL_TOOLS, DECLINED, THOUGHTFUL, CUT_SHORT])
def test_response_events_join_to_their_last(
    openai_client: openai.OpenAI, openai_server: OpenAIServer, reply: Reply
) -> None:
    """The deltas of a streamed response add up to the object that its terminal event carries."""
    openai_server.script("gpt-5.4", reply)
    joined: dict[str, str] = defaultdict(str)
    events: list[Any] = list(openai_client.responses.create(model="gpt-5.4", input="Hello", stream=True))
    for event in events:
        if event.type.endswith(".delta"):
            joined[event.type] += event.delta
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == ("response.incomplete" if reply is CUT_SHORT else "response.completed")
    assert events[-1].response.output_text == joined["response.output_text.delta"] == reply.text
    assert joined["response.refusal.delta"] == reply.refusal
    assert joined["response.reasoning_summary_text.delta"] == reply.thinking
    arguments = "".join(tool.arguments for tool in reply.tools)
    assert joined["response.function_call_arguments.delta"] == arguments


def test_response_tool_loop_with_stored_response(openai_client: openai.OpenAI, openai_server: OpenAIServer) -> None:
    """A stored response is continued by its id, and every call of it must be answered."""
    openai_server.script("gpt-5.4", THOUGHTFUL_TOOL)
    first = openai_client.responses.create(model="gpt-5.4", input="Weather?", tools=[RESPONSES_TOOL])
    call: Any = next(item for item in first.output if item.type == "function_call")
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18 °C"}
    second = openai_client.responses.create(model="gpt-5.4", input=[output], previous_response_id=first.id)
    assert second.output_text == GREETING.text
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        openai_client.responses.create(model="gpt-5.4", input="Weather?", previous_response_id=first.id)


def test_embeddings_and_models(openai_client: openai.OpenAI) -> None:
    """Vectors come as floats (the package asks for base64), and models can be listed and fetched."""
    answer = openai_client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert answer.data[1].embedding[0] == pytest.approx(2 / 16)
    names = [model.id for model in openai_client.models.list()]
    assert openai_client.models.retrieve(names[0]).id == names[0]


TOOL_ANSWER = {"role": "tool", "tool_call_id": "call_9", "content": "18"}
CALLING = {
    "role": "assistant",
    "tool_calls": [{"id": "call_9", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"model": "gpt-4.1-mini"}, 400, "missing_required_parameter", "'messages'"),
        ({"model": "gpt-4.1-mini", "messages": "hi"}, 400, "invalid_type", "array of objects, but got a string"),
        ({"model": "gpt-4.1-mini", "messages": []}, 400, "empty_array", "empty array"),
        ({"model": "gpt-9", "messages": ASK}, 404, "model_not_found", "does not exist"),
        ({"model": "gpt-4.1-mini", "messages": ASK, "top_k": 3}, 400, "unknown_parameter", "top_k"),
        ({"model": "gpt-4.1-mini", "messages": [*ASK, TOOL_ANSWER]}, 400, None, "preceeding message"),
        ({"model": "gpt-4.1-mini", "messages": [*ASK, CALLING, *ASK]}, 400, None, "did not have response"),
        ({"model": "gpt-5.4", "messages": ASK, "max_tokens": 9}, 400, "unsupported_parameter", "max_completion_tokens"),
        ({"model": "gpt-5-mini", "messages": ASK, "temperature": 0.5}, 400, "unsupported_value", "temperature"),
        ({"model": "gpt-5.4", "messages": ASK, "reasoning_effort": "max"}, 400, "invalid_value", "max"),
    ],
)
def test_openai_refusals(
    openai_client: openai.OpenAI, body: dict[str, Any], status: int, code: str | None, said: str
) -> None:
    """OpenAI's refusals come with its status, code and words."""
    with pytest.raises(openai.APIStatusError, match=said) as caught:
        openai_client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.status_code == status
    assert caught.value.code == code


def test_openai_refuses_a_wrong_key(openai_server: OpenAIServer) -> None:
    """A wrong key is 401 ``invalid_api_key``."""
    with (
        openai.OpenAI(base_url=f"{openai_server.address}/v1", api_key="sk-wrong") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("reply", [GREETING, ONE_TOOL, PARALLEL_TOOLS, THOUGHTFUL, DECLINED, CUT_SHORT])
def test_message_stream_joins_to_the_whole_message(
    anthropic_client: anthropic.Anthropic, anthropic_server: AnthropicServer, reply: Reply
) -> None:
    """What the anthropic package accumulates from a stream equals the message without streaming."""
    anthropic_server.script("claude-sonnet-4-6", reply, reply)
    whole = anthropic_client.messages.create(model="claude-sonnet-4-6", max_tokens=99, messages=ASK)
    with anthropic_client.messages.stream(model="claude-sonnet-4-6", max_tokens=99, messages=ASK) as stream:
        joined = stream.get_final_message()
    varying: Any = {"id": True, "content": {"__all__": {"id"}}, "usage": True, "container": True}
    assert joined.model_dump(exclude=varying, exclude_none=True) == whole.model_dump(exclude=varying, exclude_none=True)
    assert joined.usage.output_tokens == whole.usage.output_tokens == reply.counts.completion


def test_signed_thinking_goes_back_unchanged_or_not_at_all(
    anthropic_client: anthropic.Anthropic, anthropic_server: AnthropicServer
) -> None:
    """A tool loop passes with the thinking as issued, and is refused with a changed signature or none."""
    anthropic_server.script("claude-haiku-4-5", replace(THOUGHTFUL_TOOL, is_redacted=True))
    settings: Any = {
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tools": [MESSAGES_TOOL],
    }
    first = anthropic_client.messages.create(messages=ASK, **settings)
    blocks: Any = [block.model_dump(exclude_none=True) for block in first.content]
    assert [block["type"] for block in blocks] == ["redacted_thinking", "thinking", "tool_use"]
    result: Any = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": blocks[2]["id"], "content": "18"}],
    }

    def go_on(content: Any) -> Any:
        return anthropic_client.messages.create(
            messages=[*ASK, {"role": "assistant", "content": content}, result], **settings
        )

    assert go_on(blocks).stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        go_on([blocks[0], {**blocks[1], "thinking": blocks[1]["thinking"] + " "}, blocks[2]])
    with pytest.raises(anthropic.BadRequestError, match="Invalid `data` in `redacted_thinking` block"):
        go_on([{**blocks[0], "data": "QQ" + blocks[0]["data"]}, *blocks[1:]])
    with pytest.raises(anthropic.BadRequestError, match="must start with a thinking block"):
        go_on(blocks[2:])


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"max_tokens": None}, 400, "max_tokens: Field required"),
        ({"model": "claude-9"}, 404, "model: claude-9"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, 400, "must be non-empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "assistant", "content": "x"}, *ASK]}, 400, "first message must use"),
        (
            {"messages": [*ASK, {"role": "assistant", "content": "x"}]},
            400,
            "does not support assistant message prefill",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}]},
            400,
            "unexpected `tool_use_id`",
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, 400, "greater than or equal to 1024"),
        ({"model": "claude-opus-4-8", "thinking": {"type": "enabled", "budget_tokens": 2000}}, 400, "adaptive"),
        ({"model": "claude-opus-4-8", "temperature": 0.2}, 400, "temperature"),
        ({"stop": ["x"]}, 400, "stop: Extra inputs are not permitted"),
    ],
)
def test_anthropic_refusals(
    anthropic_client: anthropic.Anthropic, changes: dict[str, Any], status: int, said: str
) -> None:
    """Anthropic's refusals come with its status, type and words."""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 99, "messages": ASK, **changes}
    body = {name: value for name, value in body.items() if value is not None}
    with pytest.raises(anthropic.APIStatusError, match=said) as caught:
        anthropic_client.post("/v1/messages", body=body, cast_to=object)
    assert caught.value.status_code == status
    assert caught.value.type == ("not_found_error" if status == 404 else "invalid_request_error")


def test_system_turns_only_where_models_take_them(anthropic_client: anthropic.Anthropic) -> None:
    """A system turn inside the conversation passes at newer models, and is refused by older ones."""
    messages: Any = [*ASK, {"role": "system", "content": "Be brief."}]
    answer = anthropic_client.messages.create(model="claude-opus-4-8", max_tokens=99, messages=messages)
    assert answer.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="role 'system' is not supported on this model"):
        anthropic_client.messages.create(model="claude-sonnet-4-6", max_tokens=99, messages=messages)


def test_count_tokens_and_models(anthropic_client: anthropic.Anthropic) -> None:
    """Tokens are counted, and models say what thinking they take."""
    counted = anthropic_client.messages.count_tokens(model="claude-sonnet-4-6", messages=ASK)
    assert counted.input_tokens > 0
    models = list(anthropic_client.models.list())
    assert anthropic_client.models.retrieve(models[0].id) == models[0]
    assert models[0].capabilities is not None
    assert models[0].capabilities.thinking.types.enabled.supported


@pytest.mark.parametrize(("headers", "said"), [({}, "x-api-key header is required"), ({"x-api-key": "no"}, "invalid")])
def test_anthropic_refuses_a_missing_or_wrong_key(
    anthropic_server: AnthropicServer, headers: dict[str, str], said: str
) -> None:
    """A missing key and a wrong one are 401 ``authentication_error``."""
    answer = httpx.post(f"{anthropic_server.address}/v1/messages", headers=headers, json={})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert said in answer.json()["error"]["message"]


def test_requests_are_kept_byte_for_byte(compatible_server: OpenAIServer) -> None:
    """The server keeps a body exactly as it came."""
    raw = b'{ "model":"qwen3-8b", "x": 12345678901234567890123, "messages":[{"role":"user","content":"\\ud800"}]}'
    headers = {"authorization": f"Bearer {openai_stand_in.KEY}"}
    answer = httpx.post(f"{compatible_server.address}/v1/chat/completions", headers=headers, content=raw)
    assert answer.status_code == 200
    assert compatible_server.last.body == raw


ONLY_STREAMS = {
    "cut",
    "cut-inside-event",
    "empty-stream",
    "endless-stream",
    "error-event",
    "error-event-first",
    "reset-mid-stream",
    "stall",
}
GOOD = {"trickle", "gzip-answer", "bad-utf8", "stale-connection", "hints-first", "second-answer"}
LIMITS = httpx.Timeout(0.5)


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - ONLY_STREAMS - GOOD - {"redirect"}))
def test_faults_are_faults(faulty_server: FaultyServer, fault: str) -> None:
    """Every fault is one: no error status, no broken transfer or no valid JSON answer."""
    try:
        with httpx.stream(
            "POST", f"{faulty_server.address(fault)}/v1/chat/completions", json={"model": "m"}, timeout=LIMITS
        ) as answer:
            if answer.status_code < 400 and int(answer.headers.get("content-length", 0)) < 100_000:
                answer.read()
                assert "error" in answer.json()
    except (httpx.TransportError, ValueError):
        pass
    assert faulty_server.calls[fault] == 1


@pytest.mark.parametrize("fault", sorted(ONLY_STREAMS))
@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
def test_faulty_streams_lack_their_terminal_event(faulty_server: FaultyServer, fault: str, path: str) -> None:
    """A stream with a fault begins validly in every dialect and never reaches its terminal event."""
    received = b""
    try:
        with httpx.stream(
            "POST", f"{faulty_server.address(fault)}/v1{path}", json={"model": "m", "stream": True}, timeout=LIMITS
        ) as answer:
            for piece in answer.iter_bytes():
                received += piece
                if len(received) > 20_000:
                    break
    except httpx.TransportError:
        pass
    assert received.startswith((b"data: {", b"event: ")) or fault == "empty-stream"
    for terminal in (b"[DONE]", b"message_stop", b"response.completed"):
        assert terminal not in received


def test_connections_to_a_closed_port_are_refused() -> None:
    """Nothing listens on a closed port."""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{closed_port()}/")
