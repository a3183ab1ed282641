"""The grid: models, wishes and requests, and a call of each by the adapters that serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.adapters.anthropic_upstream import AnthropicUpstream
from gateway.adapters.litellm_upstream import LiteLLMUpstream
from gateway.adapters.model_facts import capability_of
from gateway.adapters.openai_upstream import OpenAIUpstream
from gateway.dialects.json_bytes import dumps
from gateway.domain.capabilities import Capability
from gateway.domain.chat import Dialect
from gateway.domain.thinking import Actuation, Wish
from gateway.errors import UpstreamRefused
from gateway.ports import Upstream, UpstreamCall
from gateway.thinking_settings import ThinkingSettings
from tests.thinking.rules import Understood
from tests.thinking.server import RULES
from tests.upstreams import anthropic_rules, anthropic_server, openai_rules, openai_server

CHAT, RESPONSES, MESSAGES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES
PATHS = {CHAT: "/chat/completions", RESPONSES: "/responses", MESSAGES: "/v1/messages"}
LIMITS = {CHAT: "max_tokens", RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}
BY_LITELLM = frozenset({"gemini", "deepseek", "dashscope", "mistral", "xai", "openrouter", "hosted_vllm"})
CEILING = 60_000
UNPARSED = ThinkingSettings(takes_tokens=False, shown="tagged")
"""What an operator says of a model on a vLLM without a reasoning parser."""
SCHEMA = {"type": "object", "properties": {}}

WISHES = (
    *(Wish(effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    *(Wish(thinking_tokens=tokens) for tokens in (0, 700, 5000, 40_000)),
    Wish(),
)
SOME_WISHES = (Wish("none"), Wish("high"), Wish(thinking_tokens=5000), Wish())


@dataclass(frozen=True, slots=True)
class Cell:
    """One model at one provider, spoken to in one dialect."""

    provider: str
    model: str
    dialect: Dialect

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model} {self.dialect.value}"

    @property
    def capability(self) -> Capability:
        told = UNPARSED if self.model == "unparsed" else None
        return capability_of(self.provider, self.model, listed=None, reported=None, told=told)


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of request, whatever the dialect."""

    name: str
    tools: str | None = None
    """``auto`` or ``forced``."""
    limit: int = 8000
    fields: Mapping[str, Any] = field(default_factory=dict)
    has_prefill: bool = False


VARIANTS = (
    Variant("bare"),
    Variant("tools", tools="auto"),
    Variant("forced", tools="forced"),
    Variant("tuned", fields={"temperature": 0.3}),
    Variant("short", limit=900),
    Variant("begun", has_prefill=True),
)


def cells() -> Iterator[Cell]:
    """Every model that some stand-in knows, in every dialect that it speaks."""
    yield from (Cell("anthropic", model, MESSAGES) for model in anthropic_rules.CATALOGUE)
    for model, facts in openai_rules.CATALOGUE.items():
        if not facts.is_embedding:
            yield Cell("openai", model, CHAT)
            yield Cell("openai", model, RESPONSES)
    for provider, models in RULES.items():
        yield from (Cell(provider, model, CHAT) for model in models)


def body_of(cell: Cell, variant: Variant, *, stream: bool) -> dict[str, Any]:
    """The request, in the cell's dialect."""
    turns = [{"role": "user", "content": "Why?"}]
    if variant.has_prefill:
        turns.append({"role": "assistant", "content": "Because"})
    body: dict[str, Any] = {"model": cell.model, LIMITS[cell.dialect]: variant.limit, **variant.fields}
    body["input" if cell.dialect is RESPONSES else "messages"] = turns
    if stream:
        body["stream"] = True
    if variant.tools is not None:
        body |= _tools(cell.dialect, is_forced=variant.tools == "forced")
    return body


def _tools(dialect: Dialect, *, is_forced: bool) -> dict[str, Any]:
    match dialect:
        case Dialect.OPENAI_CHAT:
            tools: Any = [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]
        case Dialect.OPENAI_RESPONSES:
            tools = [{"type": "function", "name": "look", "parameters": SCHEMA}]
        case Dialect.ANTHROPIC_MESSAGES:
            tools = [{"name": "look", "input_schema": SCHEMA}]
    if not is_forced:
        return {"tools": tools}
    return {"tools": tools, "tool_choice": {"type": "any"} if dialect is MESSAGES else "required"}


def actuated(body: Mapping[str, Any], actuation: Actuation) -> dict[str, Any]:
    """The body with the actuation's changes."""
    changed = {**body, **actuation.changes}
    return {name: value for name, value in changed.items() if name not in actuation.removals}


def upstream_of(cell: Cell, address: str) -> Upstream:
    """The adapter that calls this provider, pointed at its stand-in."""
    terms: dict[str, Any] = {"name": cell.provider, "headers": {}, "connections": 4}
    if cell.provider == "anthropic":
        return AnthropicUpstream(base_url=address, api_key=anthropic_server.KEY, **terms)
    if cell.provider == "openai":
        own = {"base_url": f"{address}/v1", "api_key": openai_server.KEY, "dialects": (CHAT, RESPONSES)}
        return OpenAIUpstream(**own, **terms)
    base = f"{address}/{cell.provider}"
    if cell.provider in BY_LITELLM:
        return LiteLLMUpstream(provider=cell.provider, base_url=base, api_key="sk-loopback", **terms)
    return OpenAIUpstream(base_url=base, api_key="sk-loopback", dialects=(CHAT,), **terms)


async def send(upstream: Upstream, dialect: Dialect, body: Mapping[str, Any]) -> str | None:
    """Make the call; what the provider said where it refused."""
    call = UpstreamCall(dialect, PATHS[dialect], dumps(body), bool(body.get("stream")), "r", 30, 30, 30)
    try:
        async with upstream.open(call) as reply:
            await reply.read()
    except UpstreamRefused as refusal:
        return f"{refusal.message} {refusal.body!r}"
    return None


def understood_of(cell: Cell, body: Mapping[str, Any]) -> Understood:
    """What Anthropic and OpenAI take a request to ask for."""
    if cell.dialect is MESSAGES:
        return _understood_by_anthropic(body)
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    facts = openai_rules.CATALOGUE[cell.model]
    if not facts.is_reasoning:
        told = str(body.get("instructions") or body.get("messages") or "")
        return Understood(is_prompted=True) if "<think>" in told else Understood(is_off=True)
    effort = effort or facts.default_effort
    return Understood(is_off=True) if effort == "none" else Understood(level=effort)


def _understood_by_anthropic(body: Mapping[str, Any]) -> Understood:
    facts = anthropic_rules.CATALOGUE[body["model"]]
    thinking = body.get("thinking") or {}
    effort = (body.get("output_config") or {}).get("effort", "high")
    match thinking.get("type"):
        case "disabled" | "between_tools":
            return Understood(is_off=True)
        case "enabled":
            return Understood(tokens=thinking["budget_tokens"])
        case "adaptive":
            return Understood(level=effort)
        case _:  # 4.8 and older think only when told to
            thinks = "enabled" not in facts.thinking and body["model"] not in {"claude-opus-4-8"}
            return Understood(level=effort) if thinks else Understood(is_off=True)
