"""Thinking parameters in a client's own body: whether there are any, and taking them out.

An arm decides how hard its model thinks, so a client's wish counts only on models that it names
itself, or where its key may override the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.capabilities import Capability, Control
from gateway.domain.chat import Dialect
from gateway.domain.effort import LEVELS
from gateway.domain.thinking import Wish

_CHAT_FIELDS: Final = (
    "reasoning_effort",
    "reasoning",
    "thinking",
    "thinking_token_budget",
    "enable_thinking",
    "thinking_budget",
)
"""OpenAI's, OpenRouter's, DeepSeek's (and litellm's), vLLM's and Qwen's."""

_TEMPLATE_SWITCHES: Final = ("enable_thinking", "thinking", "thinking_budget", "reasoning_effort")
"""Of ``chat_template_kwargs``: Qwen's, DeepSeek's, Seed's and gpt-oss's."""


@dataclass(frozen=True, slots=True)
class Stripped:
    """What takes the thinking parameters out of a body: top-level fields to set and to take away."""

    changes: Mapping[str, Any]
    removals: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there were none."""
        return not self.changes and not self.removals


def sets_thinking(dialect: Dialect, body: Mapping[str, Any]) -> bool:
    """Whether the body says how hard to think."""
    return not without_thinking(dialect, body).is_empty


def without_thinking(dialect: Dialect, body: Mapping[str, Any]) -> Stripped:
    """How to take out all that says how hard to think; what only says how thinking is shown stays.

    Fields that are null say nothing, and stay too.
    """
    changes: dict[str, Any] = {}
    removals: list[str] = []
    for name, strip in _FIELDS[dialect].items():
        value = body.get(name)
        if value is None:
            continue
        rest = strip(value)
        if rest == value:
            continue
        if rest:
            changes[name] = rest
        else:
            removals.append(name)
    return Stripped(changes, tuple(removals))


def foreign_wish(capability: Capability, dialect: Dialect, body: Mapping[str, Any]) -> Wish | None:
    """The wish of a client that speaks OpenAI's words to a model whose provider has others; None for all else.

    In Chat Completions one call serves every model: ``reasoning_effort``, or litellm's ``thinking``
    with a budget. A client that uses the provider's own parameters, or a provider that takes
    OpenAI's, needs no help, and its bytes are left alone.
    """
    if dialect is not Dialect.OPENAI_CHAT or capability.control in _SPEAK_OPENAI:
        return None
    said = {name for name in (*_CHAT_FIELDS, "extra_body", "chat_template_kwargs") if body.get(name) is not None}
    if not said or said - {"reasoning_effort", "thinking"}:
        return None
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping):
        tokens = 0 if thinking.get("type") == "disabled" else thinking.get("budget_tokens")
        is_count = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
        return Wish(thinking_tokens=tokens) if is_count else None
    effort = body.get("reasoning_effort")
    return Wish(effort) if effort in LEVELS else None


_SPEAK_OPENAI: Final = frozenset({Control.EFFORT, Control.OPENROUTER, Control.DEEPSEEK, Control.ANTHROPIC})
"""Those that take ``reasoning_effort`` themselves, or, as Anthropic's by litellm, have it done for them."""

_Strip = Callable[[Any], Any]


def _whole(value: Any) -> Any:
    return None


def _without(*names: str) -> _Strip:
    def strip(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: member for name, member in value.items() if name not in names}

    return strip


def _google(value: Any) -> Any:
    """``extra_body.google.thinking_config`` of Gemini's OpenAI-compatible API."""
    google = value.get("google") if isinstance(value, Mapping) else None
    if not isinstance(google, Mapping) or "thinking_config" not in google:
        return value
    rest = {name: member for name, member in google.items() if name != "thinking_config"}
    return {name: member for name, member in {**value, "google": rest}.items() if name != "google" or member}


_FIELDS: Final[Mapping[Dialect, Mapping[str, _Strip]]] = {
    Dialect.OPENAI_CHAT: {
        **dict.fromkeys(_CHAT_FIELDS, _whole),
        "chat_template_kwargs": _without(*_TEMPLATE_SWITCHES),
        "extra_body": _google,
    },
    Dialect.OPENAI_RESPONSES: {"reasoning": _without("effort", "mode")},
    Dialect.ANTHROPIC_MESSAGES: {"thinking": _whole, "output_config": _without("effort")},
}
