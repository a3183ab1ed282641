"""What Anthropic's Messages API refuses, and in which words: everything but the order of turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase

_HEADER_FIELDS = frozenset({"user_profile_id", "workspace_id"})
MESSAGE_FIELDS = (frozenset(MessageCreateParamsBase.__annotations__) | {"stream"}) - _HEADER_FIELDS
COUNT_FIELDS = frozenset(MessageCountTokensParams.__annotations__) - _HEADER_FIELDS
SAMPLING_FIELDS = frozenset({"temperature", "top_p", "top_k"})
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
LEAST_BUDGET = 1024


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model of the catalogue takes."""

    display_name: str
    line: str
    max_tokens: int
    thinking: frozenset[str]
    """The values of ``thinking.type`` it accepts."""
    efforts: tuple[str, ...] = ()
    takes_sampling: bool = False
    takes_prefill: bool = False
    takes_system_turns: bool = False
    takes_forced_tools: bool = True
    effort_without_thinking: tuple[str, ...] = _EFFORTS
    """The efforts it accepts beside thinking that is switched off."""


CATALOGUE: Mapping[str, Facts] = {
    "claude-haiku-4-5": Facts(
        "Claude Haiku 4.5",
        "haiku",
        64_000,
        frozenset({"enabled", "disabled"}),
        takes_sampling=True,
        takes_prefill=True,
    ),
    "claude-opus-4-5": Facts(
        "Claude Opus 4.5",
        "opus",
        64_000,
        frozenset({"enabled", "disabled"}),
        ("low", "medium", "high"),
        takes_sampling=True,
        takes_prefill=True,
    ),
    "claude-sonnet-4-6": Facts(
        "Claude Sonnet 4.6",
        "sonnet",
        128_000,
        frozenset({"enabled", "adaptive", "disabled"}),
        ("low", "medium", "high", "max"),
        takes_sampling=True,
    ),
    "claude-opus-4-8": Facts(
        "Claude Opus 4.8", "opus", 128_000, frozenset({"adaptive", "disabled"}), _EFFORTS, takes_system_turns=True
    ),
    "claude-opus-5": Facts(
        "Claude Opus 5",
        "opus",
        128_000,
        frozenset({"adaptive", "disabled"}),
        _EFFORTS,
        takes_system_turns=True,
        effort_without_thinking=("low", "medium", "high"),
    ),
    "claude-haiku-5-5": Facts(
        "Claude Haiku 5.5",
        "haiku",
        128_000,
        frozenset({"adaptive", "disabled"}),
        _EFFORTS,
        takes_system_turns=True,
        takes_forced_tools=False,
        effort_without_thinking=("low", "medium", "high"),
    ),
    "claude-sonnet-5-5": Facts(
        "Claude Sonnet 5.5",
        "sonnet",
        128_000,
        frozenset({"adaptive", "between_tools"}),
        _EFFORTS,
        takes_system_turns=True,
        takes_forced_tools=False,
        effort_without_thinking=("low", "medium", "high"),
    ),
    "claude-opus-5-5": Facts(
        "Claude Opus 5.5",
        "opus",
        128_000,
        frozenset({"adaptive"}),
        _EFFORTS,
        takes_system_turns=True,
        takes_forced_tools=False,
    ),
    "claude-fable-5": Facts(
        "Claude Fable 5", "fable", 128_000, frozenset({"adaptive"}), _EFFORTS, takes_system_turns=True
    ),
}


class RefusedError(Exception):
    """A request that the service refuses, with what its error body says."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind

    def body(self, request_id: str) -> dict[str, Any]:
        """The error body as the service sends it."""
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message},
            "request_id": request_id,
        }


def check_fields(body: Any, known: frozenset[str]) -> None:
    """Refuse a body that is no object, or that has fields the service does not know."""
    if not isinstance(body, dict):
        raise RefusedError("Input should be a valid dictionary")
    for name in body:
        if name not in known | SAMPLING_FIELDS:
            raise RefusedError(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages"):
        if name not in body:
            raise RefusedError(f"{name}: Field required")
    if not isinstance(body["model"], str):
        raise RefusedError("model: Input should be a valid string")
    if not isinstance(body["messages"], list):
        raise RefusedError("messages: Input should be a valid list")


def check_model(body: Mapping[str, Any]) -> Facts:
    """The model asked for."""
    facts = CATALOGUE.get(body["model"])
    if facts is None:
        raise RefusedError(f"model: {body['model']}", status=404, kind="not_found_error")
    return facts


def check_settings(body: Mapping[str, Any], facts: Facts) -> None:
    """Limits, sampling, system, tools and thinking of a message request."""
    _check_limit(body, facts)
    _check_sampling(body, facts)
    _check_system(body.get("system"))
    _check_tools(body)
    _check_thinking(body, facts)
    _check_output(body, facts)
    for sequence in body.get("stop_sequences") or ():
        if not sequence.strip():
            raise RefusedError("stop_sequences: each stop sequence must contain non-whitespace")


def _check_limit(body: Mapping[str, Any], facts: Facts) -> None:
    limit = body.get("max_tokens")
    if limit is None:
        raise RefusedError("max_tokens: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise RefusedError("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise RefusedError("max_tokens: Input should be greater than or equal to 0")
    if limit > facts.max_tokens:
        raise RefusedError(
            f"max_tokens: {limit} > {facts.max_tokens}, which is the maximum allowed number of output tokens for "
            f"{body['model']}"
        )


def _check_sampling(body: Mapping[str, Any], facts: Facts) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if body.get(name) is not None]
    if given and not facts.takes_sampling:
        raise RefusedError(f"`{given[0]}` is not supported on this model. Remove it from the request.")
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise RefusedError("temperature: range: 0..1")
    is_thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if is_thinking and temperature not in (None, 1):
        raise RefusedError("`temperature` may only be set to 1 when thinking is enabled.")


def _check_system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise RefusedError("system: Input should be a valid string or list of text blocks")
    for index, block in enumerate(system):
        if block.get("type") != "text":
            raise RefusedError(f"system.{index}.type: Input should be 'text'")
        if not block.get("text"):
            raise RefusedError("system: text content blocks must be non-empty")


def _check_tools(body: Mapping[str, Any]) -> None:
    tools: Sequence[Mapping[str, Any]] = body.get("tools") or ()
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.get("type") not in (None, "custom"):
            continue
        for field in ("name", "input_schema"):
            if field not in tool:
                raise RefusedError(f"tools.{index}.custom.{field}: Field required")
        if not _TOOL_NAME.fullmatch(tool["name"]):
            raise RefusedError(f"tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if tool["input_schema"].get("type") != "object":
            raise RefusedError(f"tools.{index}.custom.input_schema.type: Field required")
        if tool["name"] in names:
            raise RefusedError("tools: Tool names must be unique.")
        names.add(tool["name"])
    choice = body.get("tool_choice")
    if choice is None:
        return
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        raise RefusedError(
            f"tool_choice: Input tag '{choice.get('type')}' found using 'type' does not match any of the expected "
            "tags: 'auto', 'any', 'tool', 'none'"
        )
    if not tools:
        raise RefusedError("tool_choice may only be specified while providing tools.")
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise RefusedError(f"Tool '{choice.get('name')}' not found in provided tools")


def _check_thinking(body: Mapping[str, Any], facts: Facts) -> None:
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if forced and not facts.takes_forced_tools:
        raise RefusedError("tool_choice forces tool use, which is not supported on this model.")
    thinking = body.get("thinking")
    if thinking is None:
        return
    mode = thinking.get("type")
    if mode not in ("enabled", "adaptive", "disabled", "between_tools"):
        raise RefusedError(
            f"thinking: Input tag '{mode}' found using 'type' does not match any of the expected tags: "
            "'adaptive', 'between_tools', 'disabled', 'enabled'"
        )
    if mode not in facts.thinking:
        raise RefusedError(
            f'"thinking.type.{mode}" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if mode == "enabled":
        _check_budget(thinking.get("budget_tokens"), body["max_tokens"])
    if mode == "enabled" and forced:
        raise RefusedError("Thinking may not be enabled when tool_choice forces tool use.")


def _check_budget(budget: Any, limit: int) -> None:
    if budget is None:
        raise RefusedError("thinking.enabled.budget_tokens: Field required")
    if not isinstance(budget, int) or budget < LEAST_BUDGET:
        raise RefusedError(f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET}")
    if limit <= budget:
        raise RefusedError("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_output(body: Mapping[str, Any], facts: Facts) -> None:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is None:
        return
    is_off = (body.get("thinking") or {}).get("type") in ("disabled", "between_tools")
    if is_off and effort in _EFFORTS and effort not in facts.effort_without_thinking:
        raise RefusedError(
            f"output_config.effort '{effort}' is not supported when thinking is disabled on this model. "
            f"Use effort '{facts.effort_without_thinking[-1]}' or below, or enable thinking."
        )
    if effort not in _EFFORTS:
        raise RefusedError("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if effort not in facts.efforts:
        raise RefusedError(
            f"output_config.effort: '{effort}' is not supported on this model."
            if facts.efforts
            else "This model does not support the effort parameter."
        )
