"""Thinking parameters that litellm would change or lose, taken past it.

litellm makes of an effort or a budget what it thinks fit: ``high`` is 4,096 tokens of Gemini 2.5's
24,576, DeepSeek's efforts and vLLM's, Qwen's and OpenRouter's numbers are dropped. What
:mod:`gateway.adapters.thinking` has set is in the provider's own form already, so it goes into the
request as it is. Only the members named here are taken; everything else is left to
:mod:`gateway.adapters.litellm_fields`, which refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import InvalidRequest

_Check = Callable[[Any], bool]


def take_native(body: Mapping[str, Any], provider: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members for the provider's own request, and the body without the fields they came from.

    Raises :class:`InvalidRequest` for a member that the provider has not.
    """
    if provider in _GEMINI:
        return _gemini(body)
    if provider == "deepseek":
        return _deepseek(body)
    fields = _FIELDS.get(provider, {})
    native = {name: body[name] for name in fields if body.get(name) is not None}
    for name, value in native.items():
        if not fields[name](value):
            raise InvalidRequest(f"{name} has a form that this provider does not take", param=name)
    return native, {name: value for name, value in body.items() if name not in native}


def _gemini(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``extra_body.google.thinking_config``, the form of Google's OpenAI-compatible API, as Gemini's own."""
    extra = body.get("extra_body")
    if extra is None:
        return {}, dict(body)
    config = extra["google"].get("thinking_config") if _has_only(extra, "google") else None
    if config is None or not _has_only(extra["google"], "thinking_config") or not _is_config(config):
        raise InvalidRequest(
            "extra_body may hold google.thinking_config only, with thinking_budget or thinking_level, and "
            "include_thoughts",
            param="extra_body",
        )
    own = {_CONFIG[name][0]: value for name, value in config.items()}
    rest = {name: value for name, value in body.items() if name not in {"extra_body", "reasoning_effort", "thinking"}}
    return {"generationConfig": {"thinkingConfig": own}}, rest


def _has_only(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and set(value) == {name} and isinstance(value[name], Mapping)


def _is_config(config: Mapping[str, Any]) -> bool:
    return bool(config) and all(name in _CONFIG and _CONFIG[name][1](value) for name, value in config.items())


def _deepseek(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``thinking.type`` and ``reasoning_effort`` together; an effort of ``none`` is OpenAI's word for disabled."""
    thinking, effort = body.get("thinking"), body.get("reasoning_effort")
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if kind not in {None, "enabled", "disabled"} or not (effort is None or isinstance(effort, str)):
        raise InvalidRequest(
            "thinking.type must be enabled or disabled, and reasoning_effort a string such as low, high or max",
            param="thinking" if kind not in {None, "enabled", "disabled"} else "reasoning_effort",
        )
    native: dict[str, Any] = {}
    if kind is not None or effort is not None:
        native["thinking"] = {"type": kind or ("disabled" if effort == "none" else "enabled")}
    if effort not in {None, "none"} and native["thinking"]["type"] == "enabled":
        native["reasoning_effort"] = effort
    return native, {name: value for name, value in body.items() if name not in {"thinking", "reasoning_effort"}}


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isalpha()


def _members(**checks: _Check) -> _Check:
    def check(value: Any) -> bool:
        return isinstance(value, Mapping) and all(name in checks and checks[name](each) for name, each in value.items())

    return check


_GEMINI: Final = frozenset({"gemini", "vertex_ai", "vertex_ai_beta"})
_CONFIG: Final[Mapping[str, tuple[str, _Check]]] = {
    "include_thoughts": ("includeThoughts", _is_bool),
    "thinking_budget": ("thinkingBudget", _is_count),
    "thinking_level": ("thinkingLevel", _is_word),
}
_FIELDS: Final[Mapping[str, Mapping[str, _Check]]] = {
    "dashscope": {"enable_thinking": _is_bool, "thinking_budget": _is_count},
    "hosted_vllm": {
        "thinking_token_budget": _is_count,
        "chat_template_kwargs": _members(enable_thinking=_is_bool),
    },
    "openrouter": {
        "reasoning": _members(effort=_is_word, max_tokens=_is_count, exclude=_is_bool, enabled=_is_bool),
    },
}
