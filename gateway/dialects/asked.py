"""What a request asks, in words: the :class:`Prompt` that classifiers look at, straight from a parsed body.

The ask is the last user turn that says something. Documents, files and tool results are what the ask is
about, not the ask, so their text counts only towards the tokens. Nothing is refused here and nothing
raises: a body that is odd gives an odd prompt, and its dialect's reader refuses it elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.dialects.estimate import BYTES_PER_TOKEN
from gateway.domain.chat import Dialect
from gateway.domain.excerpt import excerpt
from gateway.domain.prediction import Prompt

_WORDS = frozenset(("text", "input_text", "output_text"))
_IMAGES = frozenset(("image", "image_url", "input_image"))
_TOOL_RESULTS = frozenset(("tool_result", "function_call_output", "custom_tool_call_output", "computer_call_output"))
_SYSTEM_ROLES = frozenset(("system", "developer"))
_TOOL_ROLES = frozenset(("tool", "function"))
_NO_KINDS: frozenset[str] = frozenset()
_IMAGE_BYTES = 1600 * BYTES_PER_TOKEN
"""An image at its largest useful size (Anthropic's figure: width × height / 750 tokens)."""


def prompt_of(dialect: Dialect, body: Mapping[str, Any]) -> Prompt:
    """The prompt of a parsed body; never raises, whatever the body holds."""
    heard = _Heard()
    _READERS[dialect](body, heard)
    system = "\n".join(heard.system)
    return Prompt(
        text=excerpt(heard.ask),
        tokens=-(-_bytes(body) // BYTES_PER_TOKEN),
        turns=max(1, heard.turns),
        has_tools=bool(body.get("tools")),
        has_images=heard.has_images,
        has_schema=heard.has_schema,
        is_tool_turn=heard.is_tool_turn,
        system_digest=hashlib.sha256(system.encode("utf-8", "surrogatepass")).hexdigest() if system else None,
    )


@dataclass(slots=True)
class _Heard:
    """What has been found so far, going through the turns in their order."""

    ask: str = ""
    turns: int = 0
    system: list[str] = field(default_factory=list)
    has_images: bool = False
    has_schema: bool = False
    is_tool_turn: bool = False

    def hear(self, role: Any, content: Any) -> None:
        """One turn, of which only the role and the content matter."""
        if isinstance(content, str):
            words, kinds = content, _NO_KINDS
        else:
            parts = list(_mappings(content))
            words = "\n".join(_words(parts))
            kinds = frozenset(part["type"] for part in parts if isinstance(part.get("type"), str))
        self.is_tool_turn = (isinstance(role, str) and role in _TOOL_ROLES) or not kinds.isdisjoint(_TOOL_RESULTS)
        if not kinds.isdisjoint(_IMAGES):
            self.has_images = True
        if role == "user":
            if words.strip():
                self.ask = words
                self.turns += 1
        elif isinstance(role, str) and role in _SYSTEM_ROLES and words:
            self.system.append(words)


def _words(parts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts:
        kind, text = part.get("type"), part.get("text")
        if isinstance(kind, str) and kind in _WORDS and isinstance(text, str):
            yield text


def _read_chat(body: Mapping[str, Any], heard: _Heard) -> None:
    for message in _mappings(body.get("messages")):
        heard.hear(message.get("role"), message.get("content"))
    heard.has_schema = _is_schema(body.get("response_format"))


def _read_responses(body: Mapping[str, Any], heard: _Heard) -> None:
    heard.hear("system", body.get("instructions"))
    given = body.get("input")
    if isinstance(given, str):
        heard.hear("user", given)
    for item in _mappings(given):
        if isinstance(item.get("role"), str):
            heard.hear(item["role"], item.get("content"))
        else:
            heard.hear(None, [item])
    heard.has_schema = _is_schema(_member(body.get("text"), "format"))


def _read_messages(body: Mapping[str, Any], heard: _Heard) -> None:
    heard.hear("system", body.get("system"))
    for message in _mappings(body.get("messages")):
        heard.hear(message.get("role"), message.get("content"))
    heard.has_schema = _is_schema(body.get("output_format")) or _is_schema(_member(body.get("output_config"), "format"))


_READERS: Mapping[Dialect, Callable[[Mapping[str, Any], _Heard], None]] = {
    Dialect.OPENAI_CHAT: _read_chat,
    Dialect.OPENAI_RESPONSES: _read_responses,
    Dialect.ANTHROPIC_MESSAGES: _read_messages,
}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _is_schema(value: Any) -> bool:
    return bool(_member(value, "type") == "json_schema")


def _bytes(body: Mapping[str, Any]) -> int:
    """The bytes of everything that a model reads, an image at a flat rate. A loop, since bodies nest as they like."""
    size = 0
    left: list[Any] = [body.get(name) for name in ("system", "instructions", "messages", "input", "tools")]
    while left:
        value = left.pop()
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and kind in _IMAGES:
                size += _IMAGE_BYTES
            else:
                left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return size
