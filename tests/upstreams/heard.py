"""What an official client heard, in one form for all dialects, so that one test can compare them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anthropic
import openai

from tests.upstreams.gateway_process import GatewayProcess

QUESTION = "What is the weather?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["city"],
}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
MESSAGES_TOOL: Any = {"name": "get_weather", "input_schema": SCHEMA}
_STOPS = {
    "stop": "end",
    "end_turn": "end",
    "completed": "end",
    "tool_calls": "tools",
    "tool_use": "tools",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "refusal": "refusal",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as a client's user sees it. ``stop`` is end, tools, length or refusal."""

    text: str
    refusal: str
    thinking: str
    calls: tuple[tuple[str, Any], ...]
    stop: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    thinking_tokens: int

    @property
    def words(self) -> str:
        """Text and refusal together: dialects differ in where a refusal's words stand."""
        return self.text + self.refusal


def openai_client(gateway: GatewayProcess) -> openai.OpenAI:
    """The official OpenAI client, pointed at the gateway."""
    return openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key, max_retries=0, timeout=30)


def anthropic_client(gateway: GatewayProcess) -> anthropic.Anthropic:
    """The official Anthropic client, pointed at the gateway."""
    return anthropic.Anthropic(base_url=gateway.address, api_key=gateway.key, max_retries=0, timeout=30)


def by_chat(gateway: GatewayProcess, model: str, *, stream: bool) -> Heard:
    """Ask through the openai package's chat completions."""
    ask: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [CHAT_TOOL],
    }
    with openai_client(gateway) as client:
        if not stream:
            return _chat(client.chat.completions.create(**ask).to_dict())
        chunks = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
        return _chat(_joined_chunks(chunk.to_dict() for chunk in chunks))


def _joined_chunks(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {"finish_reason": None, "usage": None}
    for chunk in chunks:
        whole["usage"] = chunk.get("usage") or whole["usage"]
        for choice in chunk["choices"]:
            whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
            for name in ("content", "refusal", "reasoning_content"):
                if choice["delta"].get(name):
                    message[name] = message.get(name, "") + choice["delta"][name]
            for piece in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(piece["index"], {"name": piece["function"].get("name"), "arguments": ""})
                call["arguments"] += piece["function"].get("arguments") or ""
    message["tool_calls"] = [{"function": call} for _, call in sorted(calls.items())]
    return {"choices": [{"message": message, "finish_reason": whole["finish_reason"]}], "usage": whole["usage"]}


def _chat(body: Mapping[str, Any]) -> Heard:
    choice = body["choices"][0]
    message, usage = choice["message"], body["usage"]
    refusal = message.get("refusal") or ""
    return Heard(
        text=message.get("content") or "",
        refusal=refusal,
        thinking=message.get("reasoning_content") or "",
        calls=tuple(
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        ),
        stop="refusal" if refusal else _STOPS[choice["finish_reason"]],
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        completion_tokens=usage["completion_tokens"],
        thinking_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def by_responses(gateway: GatewayProcess, model: str, *, stream: bool) -> Heard:
    """Ask through the openai package's responses."""
    ask: dict[str, Any] = {"model": model, "input": QUESTION, "tools": [RESPONSES_TOOL]}
    with openai_client(gateway) as client:
        if not stream:
            return _response(client.responses.create(**ask).to_dict())
        events = [event.to_dict() for event in client.responses.create(**ask, stream=True)]
    final: Any = events[-1]["response"]
    assert _streamed_words(events) == _response(final).words
    return _response(final)


def _streamed_words(events: Iterable[Mapping[str, Any]]) -> str:
    """What the deltas say: it must be what the last event holds."""
    kinds = ("response.output_text.delta", "response.refusal.delta")
    return "".join(event["delta"] for event in events if event["type"] in kinds)


def _response(body: Mapping[str, Any]) -> Heard:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in body["output"] if item["type"] == "function_call"]
    thoughts = [part for item in body["output"] if item["type"] == "reasoning" for part in item["summary"]]
    thoughts += [part for item in body["output"] if item["type"] == "reasoning" for part in item.get("content") or ()]
    refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
    stop = _STOPS[(body.get("incomplete_details") or {}).get("reason") or body["status"]]
    usage = body["usage"]
    return Heard(
        text="".join(part["text"] for part in parts if part["type"] == "output_text"),
        refusal=refusal,
        thinking="".join(part["text"] for part in thoughts),
        calls=tuple((call["name"], json.loads(call["arguments"])) for call in calls),
        stop="refusal" if refusal else "tools" if calls else stop,
        prompt_tokens=usage["input_tokens"],
        cached_tokens=usage["input_tokens_details"]["cached_tokens"],
        completion_tokens=usage["output_tokens"],
        thinking_tokens=usage["output_tokens_details"]["reasoning_tokens"],
    )


def by_messages(gateway: GatewayProcess, model: str, *, stream: bool) -> Heard:
    """Ask through the anthropic package."""
    ask: dict[str, Any] = {
        "model": model,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [MESSAGES_TOOL],
    }
    with anthropic_client(gateway) as client:
        if not stream:
            return _message(client.messages.create(**ask).to_dict())
        with client.messages.stream(**ask) as events:
            return _message(events.get_final_message().to_dict())


def _message(body: Mapping[str, Any]) -> Heard:
    blocks, usage = body["content"], body["usage"]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    is_refusal = body["stop_reason"] == "refusal"
    cached = usage.get("cache_read_input_tokens") or 0
    return Heard(
        text="" if is_refusal else text,
        refusal=text if is_refusal else "",
        thinking="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=tuple((block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"),
        stop=_STOPS[body["stop_reason"]],
        prompt_tokens=usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0),
        cached_tokens=cached,
        completion_tokens=usage["output_tokens"],
        thinking_tokens=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )


ASK: Mapping[str, Callable[..., Heard]] = {"chat": by_chat, "responses": by_responses, "messages": by_messages}
