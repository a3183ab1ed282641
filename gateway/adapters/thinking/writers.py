"""A setting in the words of each provider: one function per control."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.adapters.thinking.draft import Draft
from gateway.adapters.thinking.plain import write_plain
from gateway.adapters.thinking.setting import Setting
from gateway.domain.capabilities import Control
from gateway.domain.chat import Dialect, ThinkingMode
from gateway.domain.effort import OFF

_THOUGHTS: Final = (["thinking"], ["redacted_thinking"])


def write(draft: Draft, setting: Setting) -> None:
    """Put the setting into the draft, and note what is sent."""
    _WRITERS[draft.capability.control](draft, setting)
    if not setting.is_on:
        draft.sent["effort"] = OFF
        return
    if draft.capability.control is Control.PLAIN:
        draft.sent["thinking"] = "prompt"
        return
    if setting.level is None and setting.tokens is None:
        draft.sent["thinking"] = "on"
    if setting.level is not None:
        draft.sent["effort"] = setting.level
    if setting.tokens is not None:
        draft.sent["thinking_tokens"] = setting.tokens


def _write_nothing(draft: Draft, setting: Setting) -> None:
    """The model takes no setting."""


def _write_anthropic(draft: Draft, setting: Setting) -> None:
    if not draft.is_messages:
        _write_anthropic_by_chat(draft, setting)
        return
    modes = draft.capability.modes
    config: dict[str, Any] | None = None
    if not setting.is_on and draft.capability.thinks_by_default:
        off = ThinkingMode.DISABLED if ThinkingMode.DISABLED in modes else ThinkingMode.BETWEEN_TOOLS
        config = {"type": off.value}
    elif setting.is_on and setting.tokens is not None:
        config = {"type": "enabled", "budget_tokens": setting.tokens, **_display(draft)}
    elif setting.is_on and ThinkingMode.ADAPTIVE in modes and not in_unthinking_tool_turn(draft):
        # Newer models leave their thinking out by default.
        config = {"type": "adaptive", "display": "summarized", **_display(draft)}
    if config is None:
        draft.drop("thinking")
    else:
        draft.set("thinking", config)
    output = draft.members("output_config")
    output.pop("effort", None)
    if setting.level is not None:
        output["effort"] = setting.level
    if output:
        draft.set("output_config", output)
    else:
        draft.drop("output_config")


def _display(draft: Draft) -> dict[str, Any]:
    """How the client wants the thinking shown, if it says so."""
    return {name: shown for name, shown in draft.members("thinking").items() if name == "display" and shown}


def in_unthinking_tool_turn(draft: Draft) -> bool:
    """Whether a tool's result continues an answer that began without thinking, so that none can begin now.

    https://platform.claude.com/docs/en/build-with-claude/extended-thinking (preserving thinking blocks)
    """
    messages = draft.get("messages")
    if not draft.is_messages or not isinstance(messages, list):
        return False
    continues = False
    for message in reversed(messages):
        if not isinstance(message, Mapping):
            return False
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        kinds = [block.get("type") for block in blocks if isinstance(block, Mapping)]
        if message.get("role") != "user" or "tool_result" not in kinds:
            return continues and message.get("role") == "assistant" and kinds[:1] not in _THOUGHTS
        continues = True
    return False


def _write_anthropic_by_chat(draft: Draft, setting: Setting) -> None:
    """Through litellm, which passes ``thinking`` on and makes an effort of ``reasoning_effort``."""
    if setting.tokens is not None:
        draft.drop("reasoning_effort")
        draft.set("thinking", {"type": "enabled", "budget_tokens": setting.tokens})
    elif setting.is_on:
        draft.drop("thinking")
        _set_or_drop(draft, "reasoning_effort", setting.level)
    else:
        draft.drop("reasoning_effort")
        draft.set("thinking", {"type": "disabled"})


def _write_effort(draft: Draft, setting: Setting) -> None:
    level = setting.level if setting.is_on else OFF
    if draft.dialect is Dialect.OPENAI_RESPONSES:
        draft.set("reasoning", {**draft.members("reasoning"), "effort": level})
    else:
        _set_or_drop(draft, "reasoning_effort", level)


def _write_gemini(draft: Draft, setting: Setting) -> None:
    """Google's own form in its OpenAI-compatible API: ai.google.dev/gemini-api/docs/openai, "Thinking"."""
    config: dict[str, Any] = {"include_thoughts": setting.is_on}
    if setting.level is not None:
        config["thinking_level"] = setting.level
    else:
        config["thinking_budget"] = setting.tokens if setting.is_on else 0
    draft.drop("reasoning_effort")
    draft.drop("thinking")
    extra = draft.members("extra_body")
    google = extra.get("google")
    others = google if isinstance(google, Mapping) else {}
    draft.set("extra_body", {**extra, "google": {**others, "thinking_config": config}})


def _write_deepseek(draft: Draft, setting: Setting) -> None:
    draft.set("thinking", {"type": "enabled" if setting.is_on else "disabled"})
    _set_or_drop(draft, "reasoning_effort", setting.level)


def _write_qwen(draft: Draft, setting: Setting) -> None:
    draft.drop("reasoning_effort")
    if draft.capability.can_stop_thinking:
        draft.set("enable_thinking", setting.is_on)
    _set_or_drop(draft, "thinking_budget", setting.tokens)


def _write_openrouter(draft: Draft, setting: Setting) -> None:
    draft.drop("reasoning_effort")
    reasoning = {name: value for name, value in draft.members("reasoning").items() if name == "exclude"}
    if setting.tokens is not None:
        reasoning["max_tokens"] = setting.tokens
    else:
        reasoning["effort"] = setting.level if setting.is_on else OFF
    draft.set("reasoning", reasoning)


def _write_vllm(draft: Draft, setting: Setting) -> None:
    if draft.is_messages:
        enabled = {"type": "enabled", "budget_tokens": setting.tokens}
        draft.set("thinking", enabled if setting.is_on and setting.tokens is not None else {"type": "disabled"})
        return
    draft.drop("reasoning_effort")
    if draft.capability.can_stop_thinking:
        template = draft.members("chat_template_kwargs")
        draft.set("chat_template_kwargs", {**template, "enable_thinking": setting.is_on})
    _set_or_drop(draft, "thinking_token_budget", setting.tokens)


def _set_or_drop(draft: Draft, name: str, value: Any) -> None:
    if value is None:
        draft.drop(name)
    else:
        draft.set(name, value)


_WRITERS: Final[Mapping[Control, Callable[[Draft, Setting], None]]] = {
    Control.PLAIN: write_plain,
    Control.ALWAYS: _write_nothing,
    Control.ANTHROPIC: _write_anthropic,
    Control.EFFORT: _write_effort,
    Control.GEMINI_BUDGET: _write_gemini,
    Control.GEMINI_LEVEL: _write_gemini,
    Control.DEEPSEEK: _write_deepseek,
    Control.QWEN: _write_qwen,
    Control.OPENROUTER: _write_openrouter,
    Control.VLLM: _write_vllm,
}
