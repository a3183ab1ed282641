"""Responses as OpenAI writes them on the wire: the object, and the full grammar of its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.upstreams.replies import Counts, Reply, pieces, spelled
from tests.upstreams.signing import seal

CREATED_AT = 1763790000


def usage(counts: Counts) -> dict[str, Any]:
    """Token counts as the Responses API reports them."""
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": counts.cache_write},
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": counts.thinking},
        "total_tokens": counts.prompt + counts.completion,
    }


def output_items(reply: Reply, new_id: Callable[[str], str]) -> list[dict[str, Any]]:
    """The finished output items: reasoning, then a message, then calls."""
    items: list[dict[str, Any]] = []
    if reply.thinking:
        items.append(
            {
                "id": new_id("rs_"),
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": reply.thinking}],
                "encrypted_content": seal(reply.thinking),
            }
        )
    if reply.text or reply.refusal:
        part: dict[str, Any] = {"type": "refusal", "refusal": reply.refusal}
        if not reply.refusal:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}
        items.append(
            {
                "id": new_id("msg_"),
                "type": "message",
                "status": "incomplete" if reply.finish in ("length", "content_filter") else "completed",
                "content": [part],
                "role": "assistant",
            }
        )
    items.extend(
        {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "completed",
            "arguments": tool.arguments,
            "call_id": new_id("call_"),
            "name": tool.name,
        }
        for tool in reply.tools
    )
    return items


def response_object(
    body: Mapping[str, Any], response_id: str, model: str, reply: Reply, output: list[dict[str, Any]]
) -> dict[str, Any]:
    """The finished response, echoing the request's settings as the service does."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.finish)
    reasoning = body.get("reasoning") or {}
    return {
        "id": response_id,
        "object": "response",
        "created_at": CREATED_AT,
        "status": "incomplete" if reason else "completed",
        "background": False,
        "completed_at": None if reason else CREATED_AT + 1,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": usage(reply.counts),
        "user": None,
        "metadata": body.get("metadata") or {},
    }


class ResponseEvents:
    """Writes the events of one streamed response, numbered in order."""

    def __init__(self, final: dict[str, Any]) -> None:
        self._final = final
        self._number = 0

    def all(self) -> Iterator[bytes]:
        """Every event, from ``response.created`` to the terminal one."""
        begun = {**self._final, "status": "in_progress", "output": [], "usage": None}
        begun |= {"completed_at": None, "incomplete_details": None}
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        writers = {"reasoning": self._reasoning, "message": self._message, "function_call": self._call}
        for index, item in enumerate(self._final["output"]):
            yield from writers[item["type"]](index, item)
        yield self._event(f"response.{self._final['status']}", response=self._final)

    def _event(self, kind: str, **members: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + spelled(data) + b"\n\n"

    def _reasoning(self, index: int, item: dict[str, Any]) -> Iterator[bytes]:
        empty = {**item, "summary": []}
        yield self._event("response.output_item.added", output_index=index, item=empty)
        for place, part in enumerate(item["summary"]):
            at = {"item_id": item["id"], "output_index": index, "summary_index": place}
            yield self._event("response.reasoning_summary_part.added", **at, part={**part, "text": ""})
            for piece in pieces(part["text"]):
                yield self._event("response.reasoning_summary_text.delta", **at, delta=piece, obfuscation="f0")
            yield self._event("response.reasoning_summary_text.done", **at, text=part["text"])
            yield self._event("response.reasoning_summary_part.done", **at, part=part)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _message(self, index: int, item: dict[str, Any]) -> Iterator[bytes]:
        yield self._event(
            "response.output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []}
        )
        for place, part in enumerate(item["content"]):
            at = {"item_id": item["id"], "output_index": index, "content_index": place}
            field = "refusal" if part["type"] == "refusal" else "text"
            stem = "response.refusal" if field == "refusal" else "response.output_text"
            extra: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
            yield self._event("response.content_part.added", **at, part={**part, field: ""})
            for piece in pieces(part[field]):
                yield self._event(f"{stem}.delta", **at, delta=piece, **extra, obfuscation="q7")
            yield self._event(f"{stem}.done", **at, **{field: part[field]}, **extra)
            yield self._event("response.content_part.done", **at, part=part)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _call(self, index: int, item: dict[str, Any]) -> Iterator[bytes]:
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        at = {"item_id": item["id"], "output_index": index}
        for piece in pieces(item["arguments"]):
            yield self._event("response.function_call_arguments.delta", **at, delta=piece, obfuscation="zz")
        yield self._event("response.function_call_arguments.done", **at, name=item["name"], arguments=item["arguments"])
        yield self._event("response.output_item.done", output_index=index, item=item)
