"""A conversation and its answer, free of any dialect.

Every dialect reads into and renders from these values (``gateway/dialects``), so three dialects
need three codecs and not six translations. What a dialect cannot say is named in the renderer's
``dropped``; nothing disappears in silence. Text that a provider signs or that a model wrote as
JSON (thinking signatures, tool arguments) is kept as the exact string that came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from gateway.domain.usage import Usage


class Dialect(StrEnum):
    """An API that clients and upstreams speak."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC_MESSAGES = "anthropic-messages"


class Role(StrEnum):
    """Who speaks a turn. ``developer`` and ``system`` stay apart where the dialect does."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; ``cache_control`` is Anthropic's cache mark, kept as it came."""

    text: str
    cache_control: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image by exactly one of base64 ``data``, ``url`` or ``file_id``."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file to read, by exactly one of base64 ``data``, plain ``text``, ``url`` or ``file_id``."""

    media_type: str | None = None
    data: str | None = None
    text: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    context: str | None = None
    cache_control: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Spoken input: base64 ``data`` in ``format`` (wav, mp3)."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block. ``signature`` must go back byte for byte when tools are used."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """Thinking that the provider encrypted; ``data`` must go back byte for byte."""

    data: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model wants made; ``arguments`` is JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str
    cache_control: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned for ``call_id``."""

    call_id: str
    parts: tuple[Text | Image | Document, ...]
    is_error: bool = False
    cache_control: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's own refusal, apart from its answer text."""

    text: str


Part: TypeAlias = Text | Image | Document | Audio | Thinking | RedactedThinking | ToolCall | ToolResult | Refusal


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn. Tool results stand in a ``user`` turn; system text in turns of its own, in place."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. ``schema`` is JSON Schema; None means no arguments declared."""

    name: str
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    cache_control: Mapping[str, Any] | None = None


class ToolUse(StrEnum):
    """How freely the model may call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``name`` is set exactly when ``use`` is ``named``; ``parallel`` None leaves the default."""

    use: ToolUse = ToolUse.AUTO
    name: str | None = None
    parallel: bool | None = None


class OutputKind(StrEnum):
    """The form the answer must have."""

    TEXT = "text"
    JSON = "json"
    SCHEMA = "schema"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A demanded answer form; ``schema`` is set exactly when ``kind`` is ``schema``."""

    kind: OutputKind = OutputKind.TEXT
    name: str | None = None
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None


class ThinkingMode(StrEnum):
    """Anthropic's ``thinking.type``; other dialects only know effort."""

    ENABLED = "enabled"
    ADAPTIVE = "adaptive"
    DISABLED = "disabled"
    BETWEEN_TOOLS = "between_tools"


@dataclass(frozen=True, slots=True)
class ThinkingWish:
    """How hard the client asked to think. All None: the client said nothing."""

    effort: str | None = None
    budget_tokens: int | None = None
    mode: ThinkingMode | None = None
    display: str | None = None
    """``summarized``/``omitted`` (Anthropic) or ``auto``/``concise``/``detailed`` (Responses summary)."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; None means not set by the client."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    candidates: int | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A whole request, free of any dialect.

    ``extras`` holds top-level fields that no other field covers, under the source dialect's own
    names; a renderer for the same dialect puts them back, one for another names them as dropped.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    output_format: OutputFormat = OutputFormat()
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    thinking: ThinkingWish = ThinkingWish()
    stream: bool = False
    include_usage: bool = False
    end_user: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


class StopReason(StrEnum):
    """Why the model stopped."""

    END = "end"
    STOP_SEQUENCE = "stop_sequence"
    MAX_TOKENS = "max_tokens"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    CONTEXT_FULL = "context_full"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. ``parts`` are Text, Thinking, RedactedThinking, ToolCall or Refusal."""

    id: str
    model: str
    parts: tuple[Part, ...]
    stop: StopReason
    usage: Usage
    created: int = 0
    """Unix seconds; 0 where the dialect does not say."""
    stop_sequence: str | None = None
