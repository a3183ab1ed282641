"""The Response object: read from an upstream, rendered for a client.

Each text, refusal, tool call and thinking part is an output item of its own, so that a stream can
say it without looking ahead and the streamed answer equals the unstreamed one. Ids of items are
made from the answer's id and the part's place, so rendering twice gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.dialects.openai_responses.fields import Fields, shown, upstream_fault
from gateway.dialects.openai_responses.items import read_reasoning
from gateway.dialects.openai_responses.render import render_summary
from gateway.dialects.openai_responses.usage import read_usage, render_usage
from gateway.dialects.seals import encrypted_content, openai_seal
from gateway.domain.chat import Answer, Part, RedactedThinking, Refusal, StopReason, Text, Thinking, ToolCall
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed, UpstreamRateLimited

CUT_SHORT = {
    StopReason.MAX_TOKENS: "max_output_tokens",
    StopReason.CONTEXT_FULL: "max_output_tokens",
    StopReason.CONTENT_FILTER: "content_filter",
    StopReason.PAUSED: None,
}
"""Stop reasons that leave a response incomplete, and the reason it gives."""

_STOPS = {"max_output_tokens": StopReason.MAX_TOKENS, "content_filter": StopReason.CONTENT_FILTER}
_TIERS = {"standard": "default"}
_KNOWN_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})

_ODD_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_STEM = 48
"""The API takes ids of up to 64 characters; prefix and place need the rest."""


def read_answer(body: Mapping[str, Any]) -> Answer:
    """The answer in a Response object; raises :class:`UpstreamFailed` for one that holds none."""
    response = Fields(body, "", upstream_fault)
    refuse_failed(response)
    if not isinstance(body.get("output"), list):
        raise response.wrong("output", "a list of output items")
    parts = tuple(part for item in response.inners("output") for part in read_item(item))
    kinds = {type(part) for part in parts}
    return Answer(
        id=response.text("id"),
        model=response.text("model"),
        parts=parts,
        stop=read_stop(response, has_calls=ToolCall in kinds, has_refusal=Refusal in kinds),
        usage=read_response_usage(response) or Usage(),
        created=read_created(response),
    )


def refuse_failed(response: Fields) -> None:
    """Raise what a failed, cancelled or unfinished response means."""
    error = response.inner("error")
    status = response.optional_text("status")
    if error is not None or status == "failed":
        _, code = read_error(error)
        kind = UpstreamRateLimited if code == "rate_limit_exceeded" else UpstreamFailed
        # The code alone: an error's message may quote the prompt.
        raise kind(f"the upstream's response failed with {shown(code)}")
    if status in ("cancelled", "queued", "in_progress"):
        raise UpstreamFailed(f"the upstream's response is {status}; only a finished one is an answer")


def read_error(error: Fields | None) -> tuple[str, str | None]:
    """Message and code of an ``error`` object, as far as it has them."""
    if error is None:
        return "the upstream gives no reason", None
    message, code = error.body.get("message"), error.body.get("code") or error.body.get("type")
    return (
        message if isinstance(message, str) else "the upstream gives no reason",
        code if isinstance(code, str) else None,
    )


def read_created(response: Fields) -> int:
    """Unix seconds; OpenAI writes them as a whole number or as a fraction."""
    created = response.number("created_at")
    return 0 if created is None else int(created)


def read_response_usage(response: Fields) -> Usage | None:
    """The usage of a response, with what stands beside it: its tier, and the web searches it made."""
    raw = response.mapping("usage")
    if raw is None:
        return None
    output = response.body.get("output")
    items = output if isinstance(output, list) else []
    searches = sum(1 for item in items if isinstance(item, Mapping) and item.get("type") == "web_search_call")
    return replace(read_usage(raw), service_tier=response.optional_text("service_tier"), web_searches=searches)


def read_item(item: Fields) -> Iterator[Part]:
    """The parts of one output item; items of tools that the upstream ran itself hold none."""
    match item.optional_text("type"):
        case "message":
            yield from (read_spoken(part) for part in item.inners("content"))
        case "function_call":
            yield ToolCall(item.text("call_id"), item.text("name"), item.text("arguments"))
        case "reasoning":
            if (thinking := read_reasoning(item)) is not None:
                yield thinking
        case _:
            pass


def read_spoken(part: Fields) -> Text | Refusal:
    """A content part of an assistant's message."""
    kind = part.optional_text("type")
    if kind == "output_text":
        return Text(part.text("text"))
    if kind == "refusal":
        return Refusal(part.text("refusal"))
    path = part.at("type")
    raise part.fault(path, f"`{path}` must be output_text or refusal; it is {shown(kind)}")


def read_stop(response: Fields, *, has_calls: bool, has_refusal: bool) -> StopReason:
    """Why the model stopped; a completed response does not say, but its parts do."""
    if response.optional_text("status") == "incomplete":
        details = response.inner("incomplete_details")
        reason = details.optional_text("reason") if details is not None else None
        return _STOPS.get(reason or "", StopReason.PAUSED)
    if has_calls:
        return StopReason.TOOL_CALLS
    return StopReason.REFUSAL if has_refusal else StopReason.END


def item_id(answer_id: str, index: int, prefix: str) -> str:
    """A stable id for the output item at ``index``, of the form that the API takes back."""
    stem = _ODD_CHARACTER.sub("_", answer_id)[-_LONGEST_STEM:]
    return f"{prefix}_{stem}_{index}"


def render_answer(answer: Answer) -> dict[str, Any]:
    """The Response object for ``answer``."""
    output = [render_item(part, answer.id, index) for index, part in enumerate(answer.parts)]
    return render_response(
        answer.id, answer.model, answer.created, output=output, usage=answer.usage, **render_stop(answer.stop, output)
    )


def render_stop(stop: StopReason, output: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``status`` and ``incomplete_details``.

    A refusal that the model did not put into words (Anthropic's classifiers cut the answer) is a
    content filter's doing in this dialect.
    """
    if stop is StopReason.REFUSAL and not any(_is_refusal(item) for item in output):
        stop = StopReason.CONTENT_FILTER
    if stop not in CUT_SHORT:
        return {"status": "completed", "incomplete_details": None}
    reason = CUT_SHORT[stop]
    return {"status": "incomplete", "incomplete_details": None if reason is None else {"reason": reason}}


def _is_refusal(item: Mapping[str, Any]) -> bool:
    return any(part["type"] == "refusal" for part in item["content"]) if item["type"] == "message" else False


def render_response(
    answer_id: str,
    model: str,
    created: int,
    *,
    output: list[dict[str, Any]],
    usage: Usage | None,
    status: str,
    incomplete_details: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A Response object. What it would echo of the request, a translated answer does not know.

    Those members stand at the API's own defaults, with ``store`` false: nothing can be retrieved
    or continued by this id.
    """
    response: dict[str, Any] = {
        "id": answer_id,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": incomplete_details,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None if usage is None else render_usage(usage),
        "user": None,
    }
    if usage is not None and usage.service_tier is not None:
        tier = _TIERS.get(usage.service_tier, usage.service_tier)
        if tier in _KNOWN_TIERS:
            response["service_tier"] = tier
    return response


def render_item(part: Part, answer_id: str, index: int) -> dict[str, Any]:
    """The completed output item for one part of an answer."""
    match part:
        case Text(text):
            return message_item(item_id(answer_id, index, "msg"), text_content(text))
        case Refusal(text):
            return message_item(item_id(answer_id, index, "msg"), refusal_content(text))
        case ToolCall():
            return call_item(item_id(answer_id, index, "fc"), part.id, part.name, part.arguments)
        case Thinking() | RedactedThinking():
            return reasoning_item(answer_id, index, part)
        case _:
            raise TypeError(f"an answer does not hold a {type(part).__name__}")


def text_content(text: str) -> dict[str, Any]:
    """A message's text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_content(text: str) -> dict[str, Any]:
    """A message's refusal."""
    return {"type": "refusal", "refusal": text}


def message_item(identifier: str, content: dict[str, Any]) -> dict[str, Any]:
    """A completed message of one content part."""
    return {"id": identifier, "type": "message", "status": "completed", "role": "assistant", "content": [content]}


def call_item(identifier: str, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A completed function call."""
    return {
        "id": identifier,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def reasoning_item(answer_id: str, index: int, thinking: Thinking | RedactedThinking) -> dict[str, Any]:
    """A reasoning item: OpenAI's own under its own id, any other sealed for its way back."""
    seal = openai_seal(thinking)
    item: dict[str, Any] = {
        "id": (seal.item_id if seal else "") or item_id(answer_id, index, "rs"),
        "type": "reasoning",
        "summary": render_summary(thinking),
    }
    if (encrypted := encrypted_content(thinking)) is not None:
        item["encrypted_content"] = encrypted
    return item
