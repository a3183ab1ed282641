"""What providers with an OpenAI-like API refuse of thinking, in their own words, and what they understand of it.

Written from the providers' pages and from errors that people have met, and from nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Understood:
    """The thinking that a provider takes a request to ask for; all None where it says nothing."""

    level: str | None = None
    tokens: int | None = None
    """-1 means as many as the model likes."""
    is_off: bool = False
    is_prompted: bool = False


class RefusedError(Exception):
    """A request that a provider refuses, with the whole of its answer."""

    def __init__(self, body: Mapping[str, Any], status: int = 400) -> None:
        super().__init__(str(body))
        self.body = body
        self.status = status


def _openai_error(message: str, kind: str = "invalid_request_error", code: str | None = None) -> RefusedError:
    return RefusedError({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _forces(body: Body) -> bool:
    return body.get("tool_choice") not in (None, "auto", "none")


# DeepSeek: api-docs.deepseek.com/guides/thinking_mode; deepseek-ai/DeepSeek-V3#1376 (tool_choice).


def deepseek(body: Body) -> Understood:
    """DeepSeek V4: thinking is on at high unless disabled, and excludes a forced tool."""
    kind = (body.get("thinking") or {}).get("type", "enabled")
    if kind not in ("enabled", "disabled"):
        raise _openai_error(f"Failed to deserialize the JSON body: thinking.type: unknown variant `{kind}`")
    if kind == "disabled":
        return Understood(is_off=True)
    if _forces(body):
        raise _openai_error("Thinking mode does not support this tool_choice")
    effort = body.get("reasoning_effort", "high")
    mapped = {"minimal": "low", "low": "low", "medium": "high", "high": "high", "xhigh": "max", "max": "max"}
    if effort not in mapped:
        raise _openai_error(f"Failed to deserialize the JSON body: reasoning_effort: unknown variant `{effort}`")
    return Understood(level=mapped[effort])


# Qwen: alibabacloud.com/help/en/model-studio/deep-thinking; its error texts from the page on error messages.


def qwen_open(body: Body) -> Understood:
    """Open weights: thinking by default, and only in streams."""
    is_on = body.get("enable_thinking", True)
    if is_on and not body.get("stream"):
        raise _openai_error(
            "parameter.enable_thinking must be set to false for non-streaming calls", code="invalid_parameter_error"
        )
    return _qwen(body, is_on=is_on)


def qwen_hybrid(body: Body) -> Understood:
    """Commercial hybrids: no thinking unless asked for."""
    return _qwen(body, is_on=body.get("enable_thinking", False))


def qwen_thinking(body: Body) -> Understood:
    """Thinking-only models, which answer in streams only."""
    if body.get("enable_thinking") is False:
        raise _openai_error("The value of the enable_thinking parameter is restricted to True.")
    if not body.get("stream"):
        raise _openai_error(
            "This model only support stream mode, please enable the stream parameter to access the model."
        )
    return _qwen(body, is_on=True)


def _qwen(body: Body, *, is_on: Any) -> Understood:
    if not isinstance(is_on, bool):
        raise _openai_error("parameter.enable_thinking must be a boolean")
    budget = body.get("thinking_budget")
    if budget is not None and (not isinstance(budget, int) or budget <= 0):
        raise _openai_error("The thinking_budget parameter must be a positive integer and not greater than 38912")
    return Understood(tokens=-1 if budget is None else budget) if is_on else Understood(is_off=True)


# Mistral: docs.mistral.ai/capabilities/reasoning/adjustable; errors as its API validates bodies.


def mistral(body: Body) -> Understood:
    """Adjustable models know none and high."""
    effort = body.get("reasoning_effort", "none")
    if effort not in ("none", "high"):
        raise _mistral_error("enum", ["body", "reasoning_effort"], "Input should be 'none' or 'high'", effort)
    return Understood(level="high") if effort == "high" else Understood(is_off=True)


def magistral(body: Body) -> Understood:
    """Native reasoning models take no effort."""
    if "reasoning_effort" in body:
        raise _mistral_error(
            "extra_forbidden", ["body", "reasoning_effort"], "Extra inputs are not permitted", body["reasoning_effort"]
        )
    return Understood()


def _mistral_error(kind: str, where: list[str], message: str, given: Any) -> RefusedError:
    detail = [{"type": kind, "loc": where, "msg": message, "input": given}]
    return RefusedError(
        {
            "object": "error",
            "message": {"detail": detail},
            "type": "invalid_request_invalid_args",
            "param": None,
            "code": "3051",
        },
        422,
    )


# xAI: docs.x.ai/docs/guides/reasoning; BerriAI/litellm#16265 and open-webui/open-webui#21266 for the words.


def grok(*levels: str, default: str | None) -> Callable[[Body], Understood]:
    """A Grok with these efforts; without any, the parameter itself is refused."""

    def check(body: Body) -> Understood:
        model = body["model"]
        for name, shown in (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
            if body.get(name) is not None:
                raise _xai_error(f"Model {model} does not support parameter {shown}.")
        if body.get("stop"):
            raise _xai_error(f"Model {model} does not support parameter stop.")
        effort = body.get("reasoning_effort")
        if effort is not None and not levels:
            raise _xai_error(f"Model {model} does not support parameter reasoningEffort.")
        if effort is not None and effort not in levels:
            raise _xai_error(f"Invalid reasoning effort: {effort}. Supported values: {', '.join(levels)}")
        effort = effort or default
        return Understood(is_off=True) if effort == "none" else Understood(level=effort)

    return check


def _xai_error(message: str) -> RefusedError:
    return RefusedError({"code": "Client specified an invalid argument", "error": message})


# OpenRouter: openrouter.ai/docs/use-cases/reasoning-tokens; omeryasirkucuk/amx#66 for the words.


def openrouter(body: Body) -> Understood:
    """Either an effort or a number."""
    reasoning = body.get("reasoning") or {}
    effort, tokens = reasoning.get("effort") or body.get("reasoning_effort"), reasoning.get("max_tokens")
    if effort is not None and tokens is not None:
        raise _openrouter_error('Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified')
    if tokens is not None:
        limit = body.get("max_tokens")
        if tokens < 1024:
            raise _openrouter_error("reasoning.max_tokens: Number must be greater than or equal to 1024")
        if limit is not None and limit <= tokens:
            raise _openrouter_error("max_tokens must be greater than reasoning.max_tokens")
        return Understood(tokens=tokens)
    if effort not in (None, "none", "minimal", "low", "medium", "high", "xhigh"):
        raise _openrouter_error("reasoning.effort: Invalid enum value")
    return Understood(is_off=True) if effort == "none" else Understood(level=effort)


def _openrouter_error(message: str) -> RefusedError:
    return RefusedError({"error": {"message": message, "code": 400}})


# vLLM: docs.vllm.ai (reasoning outputs), and the error of its input processor.


def vllm(body: Body, *, has_parser: bool) -> Understood:
    """vLLM with a hybrid model, with or without a reasoning parser."""
    budget = body.get("thinking_token_budget")
    if budget is not None and not has_parser:
        raise _vllm_error(
            "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser "
            "and/or --reasoning-config to use thinking_token_budget."
        )
    if budget is not None and (not isinstance(budget, int) or budget < 0):
        raise _vllm_error(f"thinking_token_budget must be a non-negative integer, got {budget}.")
    if "thinking_budget" in body or "enable_thinking" in body:
        raise _vllm_error("the test knows no server that reads this field at the top level")
    if (body.get("chat_template_kwargs") or {}).get("enable_thinking") is False:
        return Understood(is_off=True)
    return Understood(tokens=-1 if budget is None else budget)


def _vllm_error(message: str) -> RefusedError:
    return RefusedError({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})


def plain(body: Body) -> Understood:
    """A model without thinking on a server whose template takes one system message, at the beginning."""
    messages = body["messages"]
    if any(message["role"] == "system" for message in messages[1:]):
        raise _openai_error("System message must be at the beginning.")
    asks = messages[0]["role"] == "system" and "<think>" in str(messages[0]["content"])
    return Understood(is_prompted=True) if asks else Understood(is_off=True)


# Gemini: ai.google.dev/gemini-api/docs/thinking; snailyp/gemini-balance#206 and fishjar/kiss-translator#1048.


def gemini_budget(least: int, most: int, *, can_stop: bool, default: int = -1) -> Callable[[Body], Understood]:
    """A Gemini 2.5 with this range of budgets."""

    def check(body: Body) -> Understood:
        config = _thinking_config(body)
        if "thinkingLevel" in config:
            raise _gemini_error("Thinking level is not supported for this model.")
        budget = config.get("thinkingBudget", default)
        if budget == 0:
            if not can_stop:
                raise _gemini_error("Budget 0 is invalid. This model only works in thinking mode.")
            return Understood(is_off=True)
        if budget != -1 and not least <= budget <= most:
            raise _gemini_error(
                f"The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
            )
        return Understood(tokens=budget)

    return check


def gemini_level(*levels: str, default: str) -> Callable[[Body], Understood]:
    """A Gemini 3 with these levels."""

    def check(body: Body) -> Understood:
        config = _thinking_config(body)
        if "thinkingBudget" in config:
            raise _gemini_error("Thinking budget is not supported for this model. Use thinking level instead.")
        level = config.get("thinkingLevel", default).lower()
        if level not in levels:
            allowed = ", ".join(levels)
            raise _gemini_error(
                f"'{level}' is not a supported thinking level for this model. Allowed values are: {allowed}."
            )
        return Understood(level=level)

    return check


def _thinking_config(body: Body) -> dict[str, Any]:
    config: dict[str, Any] = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
    if "thinkingBudget" in config and "thinkingLevel" in config:
        raise _gemini_error("You can only set only one of thinking budget and thinking level.")
    return config


def _gemini_error(message: str) -> RefusedError:
    return RefusedError({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
