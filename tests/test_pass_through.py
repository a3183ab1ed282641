"""Byte rules: where client and upstream speak the same dialect, bytes pass as they are."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.replies import CUT_SHORT, GREETING, PARALLEL_TOOLS, THOUGHTFUL, Reply

pytest_plugins = ("tests.upstreams.fixtures",)

ODD = (
    b'{ "messages" : [ {"role":"user",\t"content":"caf\\u00e9 \\ud83d caf\xc3\xa9 \\/ \xf0\x9f\x91\x8b"} ],\r\n'
    b'  "vendor_seed": 123456789012345678901234567890, "x": 1.10, "e": 1E400, "zero": -0.0,'
    b' "nested": {"b": 1, "a": 2, "b": 3}, "model" :"qwen3-8b" , "n":1 }\n'
)
"""Unknown fields, a lone surrogate, an escaped slash, numbers no parser keeps, key order, blanks."""

COST = re.compile(rb": x-ponder-cost-usd [0-9.]+\n\n")
TERMINAL = {
    "/v1/chat/completions": b"data: [DONE]\n\n",
    "/v1/responses": b"event: response.completed\n",
    "/v1/messages": b"event: message_stop\n",
}
USAGE_CHUNK = re.compile(rb'data: [^\n]*"choices":\[\],"usage":\{[^\n]*\n\n')


def test_request_bytes_reach_the_upstream_unchanged(gateway: GatewayProcess, compatible_server: OpenAIServer) -> None:
    """A request arrives byte for byte, whatever its spelling, and its length with it."""
    answer = gateway.post("/v1/chat/completions", content=ODD)
    assert answer.status_code == 200, answer.text
    assert compatible_server.last.body == ODD
    assert compatible_server.last.headers["content-length"] == str(len(ODD))


def test_only_the_model_changes_for_an_alias(gateway: GatewayProcess, openai_server: OpenAIServer) -> None:
    """A configured name is replaced by the upstream's own, in its place; nothing else moves."""
    raw = b'{"max_tokens":9 , "model":\n"alias","messages":[{"role":"user","content":"\\ud83d"}]}'
    assert gateway.post("/v1/chat/completions", content=raw).status_code == 200
    assert openai_server.last.body == raw.replace(b'"alias"', b'"gpt-4.1-mini"')


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b"", b',"stream_options":{"include_usage":true}'),
        (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
        (
            b',"stream_options":{"include_obfuscation": false}',
            b',"stream_options":{"include_obfuscation":false,"include_usage":true}',
        ),
        (
            b',"stream_options":{"include_usage": false}',
            b',"stream_options":{"include_usage":true}',
        ),
        (b',"stream_options": {"include_usage" : true }', b',"stream_options": {"include_usage" : true }'),
    ],
    ids=["absent", "null", "others", "false", "true"],
)
def test_streams_ask_for_usage_and_change_nothing_else(
    gateway: GatewayProcess, compatible_server: OpenAIServer, options: bytes, sent: bytes
) -> None:
    """``include_usage`` is set where the client did not, and the rest of the request stays as it was."""
    turns = b'[{"role":"user","content":"x"}]'
    head = b'{"model": "qwen3-8b", "big": 99999999999999999999, "stream": true, "messages": ' + turns
    assert gateway.post("/v1/chat/completions", content=head + options + b"}").status_code == 200
    assert compatible_server.last.body == head + sent + b"}"


@pytest.mark.parametrize("place", [b"", b"first", b"last"], ids=["middle", "first", "last"])
def test_the_ponder_field_is_taken_out_cleanly(
    gateway: GatewayProcess, compatible_server: OpenAIServer, place: bytes
) -> None:
    """Without its ``ponder`` field a request is the same bytes, wherever the field stood."""
    ponder = b'"ponder": {"tags": {"a": "b"}}'
    model, messages = b'"model": "qwen3-8b"', b'"messages": [{"role": "user", "content": "\\ud83d"}]'
    order = {b"first": (ponder, model, messages), b"last": (model, messages, ponder)}
    members = order.get(place, (model, ponder, messages))
    assert gateway.post("/v1/chat/completions", content=b"{" + b", ".join(members) + b"}").status_code == 200
    sent = compatible_server.last.body
    assert b"ponder" not in sent
    assert b" ".join(sent.replace(b"{ ", b"{").split()) == b"{" + model + b", " + messages + b"}"


CASES: list[Any] = [
    ("/v1/chat/completions", {"model": "gpt-4.1-mini"}, "gpt-4.1-mini"),
    ("/v1/responses", {"model": "gpt-5.4"}, "gpt-5.4"),
    ("/v1/messages", {"model": "claude-sonnet-4-6", "max_tokens": 99}, "claude-sonnet-4-6"),
]
REPLIES = {
    "text": GREETING,
    "tools": PARALLEL_TOOLS,
    "thinking": THOUGHTFUL,
    "cut": CUT_SHORT,
    "surrogate": Reply(text="half an emoji: \ud83d!"),
}


@pytest.fixture(name="servers")
def _servers(openai_server: OpenAIServer, anthropic_server: AnthropicServer) -> dict[str, Any]:
    return {"/v1/chat/completions": openai_server, "/v1/responses": openai_server, "/v1/messages": anthropic_server}


def _body(path: str, settings: dict[str, Any], **more: Any) -> bytes:
    turns = [{"role": "user", "content": "x"}]
    return json.dumps({**settings, "input" if path == "/v1/responses" else "messages": turns, **more}).encode()


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
@pytest.mark.parametrize(("path", "settings", "model"), CASES, ids=["chat", "responses", "messages"])
def test_answer_bytes_come_back_unchanged(
    gateway: GatewayProcess, servers: dict[str, Any], path: str, settings: dict[str, Any], *, model: str, reply: Reply
) -> None:
    """An unstreamed answer is the provider's own bytes, and the headers hold its cost."""
    servers[path].script(model, reply)
    answer = gateway.post(path, content=_body(path, settings))
    assert answer.status_code == 200, answer.text
    assert answer.content == servers[path].sent[-1]
    assert float(answer.headers["x-ponder-cost-usd"]) > 0
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
@pytest.mark.parametrize(("path", "settings", "model"), CASES, ids=["chat", "responses", "messages"])
def test_stream_bytes_come_back_with_only_a_comment_more(
    gateway: GatewayProcess, servers: dict[str, Any], path: str, settings: dict[str, Any], *, model: str, reply: Reply
) -> None:
    """A stream is the provider's own bytes plus the cost comment, which stands before the terminal event."""
    servers[path].script(model, reply)
    more = {"stream_options": {"include_usage": True}} if path == "/v1/chat/completions" else {}
    answer = gateway.post(path, content=_body(path, settings, stream=True, **more))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "x-ponder-cost-usd" not in answer.headers
    (comment,) = COST.findall(answer.content)
    before, after = answer.content.split(comment)
    assert before + after == servers[path].sent[-1]
    terminal = b"event: response.incomplete\n" if (path, reply) == ("/v1/responses", CUT_SHORT) else TERMINAL[path]
    assert after.startswith(terminal)
    assert after.count(b"\n\n") == 1


def test_a_usage_chunk_that_nobody_asked_for_is_dropped(gateway: GatewayProcess, openai_server: OpenAIServer) -> None:
    """The usage chunk that we asked for is the only thing missing from the client's stream."""
    answer = gateway.post("/v1/chat/completions", content=_body("", {"model": "gpt-4.1-mini"}, stream=True))
    sent = openai_server.sent[-1]
    assert len(USAGE_CHUNK.findall(sent)) == 1
    assert COST.sub(b"", answer.content) == USAGE_CHUNK.sub(b"", sent)


def test_cost_of_a_stream_is_its_record(gateway: GatewayProcess) -> None:
    """The cost in a stream's comment is the cost in its record."""
    answer = gateway.post("/v1/chat/completions", content=_body("", {"model": "gpt-4.1-mini"}, stream=True))
    record = gateway.record(answer.headers["x-ponder-request-id"])
    assert f": x-ponder-cost-usd {record['cost_usd']}\n\n".encode() in answer.content
    assert record["cost_usd"] == "0.00006"
    assert (record["stream"], record["result"], record["finish"]) == (True, "answered", "stop")
    assert record["first_byte_s"] <= record["total_s"]


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "responder"])
def test_lone_surrogates_survive_translation(
    gateway: GatewayProcess, anthropic_server: AnthropicServer, openai_server: OpenAIServer, model: str
) -> None:
    """Half an emoji, as cut tool output holds it, passes through translation in both directions."""
    for server, own in ((anthropic_server, "claude-sonnet-4-6"), (openai_server, "gpt-5.4")):
        server.script(own, REPLIES["surrogate"])
    raw = b'{"model": "' + model.encode() + b'", "messages": [{"role": "user", "content": "half \\ud83d!"}]}'
    answer = gateway.post("/v1/chat/completions", content=raw)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.content)["choices"][0]["message"]["content"] == REPLIES["surrogate"].text
    server = anthropic_server if model.startswith("claude") else openai_server
    assert "half \ud83d!" in json.dumps(server.last.json, ensure_ascii=False)
