"""The fields that this codec renders beyond what OpenAI documents, and taking them out again.

Compatible servers (vLLM, llama.cpp, OpenRouter, litellm, another Ponder) understand some of them
and pass over the rest. OpenAI's own server refuses requests with fields it does not know, so
requests to it go through :func:`only_documented`.

========================  =======================================================  ==============
field                     where                                                    whose
========================  =======================================================  ==============
``reasoning_content``     assistant messages and deltas                            DeepSeek, vLLM
``thinking_blocks``       assistant messages and deltas                            litellm
``cache_control``         content parts, tools, tool calls, tool messages          OpenRouter
``top_k``                 the request                                              vLLM
``stop_reason``           choices: the stop sequence that was met                  vLLM
========================  =======================================================  ==============
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.codec import Rendered

_EXTENSIONS = {
    "reasoning_content": "thinking",
    "thinking_blocks": "thinking",
    "cache_control": "cache_control",
}
"""Fields of messages and below, by the name that ``dropped`` calls them."""


def only_documented(rendered: Rendered) -> Rendered:
    """The request without extension fields; what they said is named in ``dropped``."""
    dropped = list(rendered.dropped)
    body = dict(rendered.body)
    if body.pop("top_k", None) is not None:
        dropped.append("top_k")
    for key in ("messages", "tools"):
        if key in body:
            body[key] = [_strip_message(entry, dropped) for entry in body[key]]
    return Rendered(body, tuple(dict.fromkeys(dropped)))


def _strip_message(message: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    """A message or a tool; what lies deeper (schemas, arguments) is the client's own."""
    stripped = _strip(message, dropped)
    for key in ("content", "tool_calls"):
        if isinstance(stripped.get(key), list):
            stripped[key] = [_strip(entry, dropped) for entry in stripped[key]]
    return stripped


def _strip(entry: Mapping[str, Any], dropped: list[str]) -> dict[str, Any]:
    dropped += [name for key, name in _EXTENSIONS.items() if key in entry]
    return {key: value for key, value in entry.items() if key not in _EXTENSIONS}
