"""What of a caller's request may reach litellm: an allow-list, and nothing by another way.

litellm takes its own settings (``api_base``, ``api_key``, ``custom_llm_provider``, ``fallbacks``,
``mock_response``, ``extra_body``, ``metadata``, …) as arguments beside those of the dialect, so a
field that is not listed here is refused, never passed on and never dropped in silence. Below the
top level litellm acts on addresses (it downloads pictures and files, with the gateway's network and
sometimes its credentials) and on tools that the provider runs; both are refused too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.errors import InvalidRequest

CHAT_FIELDS = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "top_k", "n", "stop", "seed", "presence_penalty", "frequency_penalty"),
        *("logit_bias", "logprobs", "top_logprobs", "response_format", "modalities", "audio", "prediction"),
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("reasoning_effort", "thinking", "verbosity", "service_tier"),
        *("user", "safety_identifier", "prompt_cache_key", "store"),
    }
)
EMBEDDING_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})

_HINTS = frozenset({"user", "safety_identifier", "prompt_cache_key"})
"""They change no answer, so a provider that has no such field loses nothing."""

_DEFAULTS: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""Values that say what every provider does anyway."""

ALWAYS_TAKEN = frozenset({"model", "messages", "stream", "stream_options", "max_tokens", "top_k"})
"""Fields that litellm translates for, or hands to, any provider."""

_TAKE_ADDRESSES = frozenset({"groq", "mistral", "together_ai", "xai"})
"""Providers that fetch pictures themselves: litellm hands them the address as it is."""

_WORDS = frozenset({"text", "refusal", "thinking", "redacted_thinking"})
"""Content parts that are words; an address in them is just something that was said."""

_DEEPEST = 32


def chat_arguments(body: Mapping[str, Any], provider: str, supported: Collection[str]) -> dict[str, Any]:
    """The fields of a chat request that go to litellm; ``supported`` are those that it knows for the model.

    Raises :class:`InvalidRequest` naming what is not accepted and what is.
    """
    arguments = _known(body, CHAT_FIELDS)
    for name in (_HINTS | _DEFAULTS.keys()) - set(supported):
        if name in _HINTS or arguments.get(name) in _DEFAULTS[name]:
            arguments.pop(name, None)
    lacking = sorted(arguments.keys() - ALWAYS_TAKEN - set(supported))
    if lacking:
        raise _refused(
            lacking[0],
            f"{', '.join(lacking)}: not offered for this model by its provider; accepted are "
            f"{', '.join(sorted((CHAT_FIELDS & set(supported)) | ALWAYS_TAKEN))}",
        )
    _check_kinds(arguments)
    _check_tools(arguments.get("tools", []))
    _check_messages(arguments.get("messages"), takes_addresses=provider in _TAKE_ADDRESSES)
    return arguments


def embedding_arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an embeddings request that go to litellm; ``encoding_format`` is ours to render.

    Raises :class:`InvalidRequest` naming what is not accepted and what is.
    """
    arguments = _known(body, EMBEDDING_FIELDS)
    if arguments.pop("encoding_format", "float") not in ("float", "base64"):
        raise _refused("encoding_format", "encoding_format must be float or base64")
    arguments.pop("user", None)
    texts = arguments.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts:
        raise _refused("input", "input must be a string or a list of strings or tokens that is not empty")
    for text in texts:
        # litellm reads these as files to embed, found with the operator's credentials.
        if isinstance(text, Mapping) or (isinstance(text, str) and _is_reference(text)):
            raise _refused("input", "input must be text or tokens: references to stored or remote files are not taken")
    return arguments


def _known(body: Mapping[str, Any], accepted: frozenset[str]) -> dict[str, Any]:
    unknown = sorted(body.keys() - accepted)
    if unknown:
        raise _refused(
            unknown[0],
            f"{', '.join(unknown)}: not accepted by models that are reached through litellm; accepted are "
            f"{', '.join(sorted(accepted))}",
        )
    return {name: value for name, value in body.items() if value is not None}


def _check_kinds(arguments: Mapping[str, Any]) -> None:
    if not isinstance(arguments.get("reasoning_effort", ""), str):
        raise _refused("reasoning_effort", "reasoning_effort must be a string such as low, medium or high")
    if not isinstance(arguments.get("thinking", {}), Mapping):
        raise _refused("thinking", "thinking must be an object with type, and budget_tokens where it is enabled")
    options = arguments.get("stream_options", {})
    if not isinstance(options, Mapping) or options.keys() - {"include_usage"}:
        raise _refused("stream_options", "stream_options must be an object with include_usage only")


def _check_tools(tools: object) -> None:
    """Tools that the provider or litellm itself would run cost money that no usage reports."""
    if not isinstance(tools, list):
        raise _refused("tools", "tools must be a list of functions")
    for position, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) and tool.get("type") == "function" else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise _refused(
                f"tools[{position}]",
                f"tools[{position}] must have type function and a function with a name: "
                "tools that a provider runs are not offered",
            )


def _check_messages(messages: object, *, takes_addresses: bool) -> None:
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        raise _refused("messages", "messages must be a list of objects")
    for position, message in enumerate(messages):
        for key in ("content", "images"):
            parts = message.get(key)
            for part in parts if isinstance(parts, list) else ():
                if not isinstance(part, Mapping) or part.get("type") in _WORDS:
                    continue
                if takes_addresses and part.get("type") == "image_url":
                    continue
                _check_part(part, f"messages[{position}].{key}")


def _check_part(part: Mapping[str, Any], path: str) -> None:
    for key, text in _strings(part, _DEEPEST):
        if key == "file_id":
            raise _refused(path, f"{path}: file_id is not taken; send the file's bytes as a data: URL")
        if "://" in text:
            raise _refused(
                path, f"{path}: addresses of pictures and files are not fetched; send the bytes as a data: URL"
            )


def _strings(value: Mapping[str, Any] | list[Any], depth: int) -> Iterator[tuple[str, str]]:
    """Every string below ``value`` with the name of the member that holds it."""
    if depth == 0:
        raise _refused("messages", "messages are nested deeper than any content part is")
    members = value.items() if isinstance(value, Mapping) else [("", item) for item in value]
    for key, item in members:
        if isinstance(item, str):
            yield key, item
        elif isinstance(item, Mapping | list):
            yield from _strings(item, depth - 1)


def _is_reference(text: str) -> bool:
    return text.startswith(("gs://", "files/", "data:", "https://generativelanguage.googleapis.com/"))


def _refused(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param)
