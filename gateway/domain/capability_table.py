"""The facts of the model families, one row each; the first row that fits a model holds.

Rows stand from the particular to the general. A provider's own list of models and ``ponder.yaml``
go before them. Sources, read in November 2026: platform.claude.com/docs (extended thinking, effort,
the migration guides of each model), developers.openai.com/api/docs/guides/reasoning and the error
texts in openai/openai-openapi#541, ai.google.dev/gemini-api/docs/thinking,
api-docs.deepseek.com/guides/thinking_mode, alibabacloud.com/help/en/model-studio/deep-thinking,
docs.mistral.ai/capabilities/reasoning, docs.x.ai (reasoning),
openrouter.ai/docs/use-cases/reasoning-tokens, docs.vllm.ai (reasoning outputs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.capabilities import PLAIN, Budget, Capability, Control, Taken
from gateway.domain.chat import ThinkingMode


@dataclass(frozen=True, slots=True)
class Row:
    """One family: its models are those of ``providers`` whose name begins as ``pattern`` says."""

    providers: frozenset[str]
    pattern: re.Pattern[str]
    capability: Capability


_ENABLED, _ADAPTIVE = ThinkingMode.ENABLED, ThinkingMode.ADAPTIVE
_DISABLED, _BETWEEN_TOOLS = ThinkingMode.DISABLED, ThinkingMode.BETWEEN_TOOLS
_LOW_TO_HIGH = ("low", "medium", "high")
_LOW_TO_MAX = (*_LOW_TO_HIGH, "xhigh", "max")
_ONLY_IN_RESPONSES = frozenset({"max"})


def _rows(providers: str, *families: tuple[str, Capability]) -> list[Row]:
    names = frozenset(providers.split())
    return [Row(names, re.compile(pattern), capability) for pattern, capability in families]


_CLAUDE_BUDGETED = Capability(
    family="claude-4.5",
    control=Control.ANTHROPIC,
    levels=("none",),
    default="none",
    # 64,000 tokens of output, of which 1,024 are kept for the answer.
    budget=Budget(1024, 62_976),
    modes=frozenset({_ENABLED, _DISABLED}),
    forced_tools=Taken.WITHOUT_BUDGET,
    sampling=Taken.WITHOUT_THINKING,
    prefill=Taken.WITHOUT_THINKING,
)
_CLAUDE_BOTH = replace(
    _CLAUDE_BUDGETED,
    family="claude-4.6",
    levels=("none", *_LOW_TO_HIGH, "max"),
    budget=Budget(1024, 126_976),
    modes=frozenset({_ENABLED, _ADAPTIVE, _DISABLED}),
    prefill=Taken.NEVER,
)
_CLAUDE_ADAPTIVE = Capability(
    family="claude-4.7",
    control=Control.ANTHROPIC,
    levels=("none", *_LOW_TO_MAX),
    default="none",
    modes=frozenset({_ADAPTIVE, _DISABLED}),
    sampling=Taken.NEVER,
    prefill=Taken.NEVER,
)
_CLAUDE_5 = replace(_CLAUDE_ADAPTIVE, family="claude-5", default="high")
_CLAUDE_ALWAYS = replace(
    _CLAUDE_5, family="claude-always-on", levels=_LOW_TO_MAX, modes=frozenset({_ADAPTIVE}), forced_tools=Taken.NEVER
)

_GPT_5 = Capability(
    family="gpt-5",
    control=Control.EFFORT,
    levels=("minimal", *_LOW_TO_HIGH),
    default="medium",
    sampling=Taken.NEVER,
    takes_max_tokens=False,
)
_O_SERIES = replace(_GPT_5, family="o-series", levels=_LOW_TO_HIGH)
_GPT_5_1 = replace(
    _GPT_5, family="gpt-5.1", levels=("none", *_LOW_TO_HIGH), default="none", sampling=Taken.WITHOUT_THINKING
)
_GPT_5_2 = replace(_GPT_5_1, family="gpt-5.2", levels=("none", *_LOW_TO_HIGH, "xhigh"))
_GPT_5_4 = replace(_GPT_5_2, family="gpt-5.4", tools_in_chat=Taken.WITHOUT_THINKING)
_GPT_5_5 = replace(_GPT_5_4, family="gpt-5.5", default="medium")
_GPT_6 = replace(_GPT_5_5, family="gpt-6", levels=("none", *_LOW_TO_MAX), levels_only_in_responses=_ONLY_IN_RESPONSES)
_GPT_6_ALWAYS = replace(
    _GPT_6, family="gpt-6-always-on", levels=_LOW_TO_MAX, sampling=Taken.NEVER, tools_in_chat=Taken.NEVER
)

_GEMINI_FLASH = Capability(
    family="gemini-2.5-flash", control=Control.GEMINI_BUDGET, levels=("none",), budget=Budget(1, 24_576)
)
_GEMINI_LITE = replace(_GEMINI_FLASH, family="gemini-2.5-flash-lite", default="none", budget=Budget(512, 24_576))
_GEMINI_PRO = replace(_GEMINI_FLASH, family="gemini-2.5-pro", levels=(), budget=Budget(128, 32_768))
_GEMINI_3 = Capability(family="gemini-3-pro", control=Control.GEMINI_LEVEL, levels=_LOW_TO_HIGH, default="high")
_GEMINI_3_FLASH = replace(_GEMINI_3, family="gemini-3-flash", levels=("minimal", *_LOW_TO_HIGH))

_GROK = Capability(
    family="grok-4.3",
    control=Control.EFFORT,
    levels=("none", *_LOW_TO_HIGH),
    refuses=frozenset({"presence_penalty", "frequency_penalty", "stop"}),
)
_DEEPSEEK = Capability(
    family="deepseek-v4",
    control=Control.DEEPSEEK,
    levels=("none", "low", "high", "max"),
    default="high",
    forced_tools=Taken.WITHOUT_THINKING,
    # Ignored while thinking; to drop it says so.
    sampling=Taken.WITHOUT_THINKING,
)
_QWEN = Capability(
    family="qwen-hybrid", control=Control.QWEN, levels=("none",), budget=Budget(1, None, is_output=False)
)
_VLLM = Capability(family="vllm", control=Control.VLLM, levels=("none",), budget=Budget(0, None))

TABLE: Final[tuple[Row, ...]] = (
    *_rows(
        "anthropic",
        (r"claude-haiku-4-5|claude-sonnet-4-5", _CLAUDE_BUDGETED),
        (r"claude-opus-4-5", replace(_CLAUDE_BUDGETED, family="claude-opus-4.5", levels=("none", *_LOW_TO_HIGH))),
        (r"claude-(opus|sonnet)-4-6", _CLAUDE_BOTH),
        (r"claude-opus-4-[78]", _CLAUDE_ADAPTIVE),
        (
            r"claude-haiku-5-5",
            replace(_CLAUDE_5, family="claude-haiku-5.5", default="medium", forced_tools=Taken.NEVER),
        ),
        (
            r"claude-sonnet-5-5",
            # Thinking before the answer is switched off by between_tools, as disabled is refused.
            replace(
                _CLAUDE_ALWAYS,
                family="claude-sonnet-5.5",
                levels=("none", *_LOW_TO_MAX),
                modes=frozenset({_ADAPTIVE, _BETWEEN_TOOLS}),
            ),
        ),
        (r"claude-opus-5-5", replace(_CLAUDE_ALWAYS, family="claude-opus-5.5", default="medium")),
        (r"claude-(fable|mythos)-5-[1-9]", _CLAUDE_ALWAYS),
        (
            r"claude-(fable|mythos)-(5|preview)",
            replace(_CLAUDE_ALWAYS, family="claude-fable-5", forced_tools=Taken.ALWAYS),
        ),
        (r"claude-(opus|sonnet)-5", _CLAUDE_5),
        (r"claude-(3|opus-4|sonnet-4)", replace(_CLAUDE_BUDGETED, family="claude-4", budget=Budget(1024, 30_976))),
        (r"claude-", replace(_CLAUDE_ALWAYS, family="claude-newer")),
    ),
    *_rows(
        "openai azure",
        (r"gpt-5-chat", replace(PLAIN, family="gpt-5-chat")),
        (r"gpt-5\.\d-chat|chat-latest", replace(_GPT_5, family="gpt-5.1-chat", levels=("medium",))),
        (r"gpt-5-pro", replace(_GPT_5, family="gpt-5-pro", levels=("high",), default="high")),
        (r"gpt-5\.\d-pro", replace(_GPT_5, family="gpt-5.2-pro", levels=("medium", "high", "xhigh"), default=None)),
        (
            r"gpt-5\.(1-codex-max|[2-9]-codex)",
            replace(_GPT_5, family="gpt-5.2-codex", levels=(*_LOW_TO_HIGH, "xhigh"), default=None),
        ),
        (r"gpt-5(\.\d)?-codex", replace(_GPT_5, family="gpt-5-codex", levels=_LOW_TO_HIGH)),
        (r"gpt-6-astra|gpt-6\.1", _GPT_6_ALWAYS),
        (r"gpt-[6-9]", _GPT_6),
        (r"gpt-5\.[5-9]", _GPT_5_5),
        (r"gpt-5\.[34]", _GPT_5_4),
        (r"gpt-5\.2", _GPT_5_2),
        (r"gpt-5\.1", _GPT_5_1),
        (r"gpt-5", _GPT_5),
        (r"o1-mini|o1-preview", replace(PLAIN, family="o1-mini", control=Control.ALWAYS, levels=(), default=None)),
        (r"o\d|computer-use|(gpt-)?daybreak", _O_SERIES),
    ),
    *_rows(
        "gemini vertex_ai vertex_ai_beta",
        (r"gemini-2\.5-flash-lite", _GEMINI_LITE),
        (r"gemini-2\.5-flash", _GEMINI_FLASH),
        (r"gemini-2\.5", _GEMINI_PRO),
        (r"gemini-3\.[1-9]-flash-lite|gemini-flash-lite-latest", replace(_GEMINI_3_FLASH, default="minimal")),
        (r"gemini-3(\.5)?-flash", _GEMINI_3_FLASH),
        (r"gemini-3\.\d-flash|gemini-flash-latest", replace(_GEMINI_3, family="gemini-3.7-flash", default="medium")),
        (r"gemini-[3-9]|gemini-pro-latest", _GEMINI_3),
    ),
    *_rows(
        "deepseek",
        (r"deepseek-(v4|flash|v3\.2|chat)", _DEEPSEEK),
        (
            r"deepseek-(reasoner|r1)",
            replace(PLAIN, family="deepseek-r1", control=Control.ALWAYS, levels=(), default=None),
        ),
    ),
    *_rows(
        "mistral",
        (r"magistral", replace(PLAIN, family="magistral", control=Control.ALWAYS, levels=(), default=None)),
        (
            r"mistral-(large-4|medium-(2604|3[.-]5|3$|latest)|medium$|small-(2603|latest)|vibe)",
            Capability(family="mistral", control=Control.EFFORT, levels=("none", "high"), default="none"),
        ),
        (r"(zai-)?glm-5-2", Capability("glm-5.2", Control.EFFORT, ("none", "minimal", *_LOW_TO_MAX))),
        (r"(zai-)?glm", Capability("glm", Control.EFFORT, ("low", "high", "max"))),
    ),
    *_rows(
        "xai",
        (r"grok-4\.3", _GROK),
        (r"grok-4\.[56]|grok-build-latest", replace(_GROK, family="grok-4.5", levels=_LOW_TO_HIGH, default="high")),
        (
            r"grok-4\.[7-9]|grok-[5-9]",
            replace(_GROK, family="grok-4.7", levels=(*_LOW_TO_HIGH, "xhigh"), default="high"),
        ),
        (r"grok-.*non-reasoning", replace(PLAIN, family="grok-plain", refuses=_GROK.refuses)),
        (r"grok-3-mini", replace(_GROK, family="grok-3-mini", levels=("low", "high"))),
        (r"grok-3|grok-2", PLAIN),
        (r"", replace(_GROK, family="grok-4", control=Control.ALWAYS, levels=(), default=None)),
    ),
    *_rows(
        "dashscope qwen alibaba",
        (
            r"qwq|.*-thinking",
            replace(_QWEN, family="qwen-thinking", levels=(), thinks_unstreamed=False),
        ),
        (r".*(-instruct|-coder|qwen-max$|qwen-coder)|qwen2", replace(PLAIN, family="qwen-plain")),
        # Open weights think by default, and only in streams: "enable_thinking must be set to false for
        # non-streaming calls".
        (r"qwen3(\.\d+)?-\d+(\.\d+)?b", replace(_QWEN, family="qwen3-open", thinks_unstreamed=False)),
        (r"qwen3\.", replace(_QWEN, family="qwen3.5")),
        (r"qwen", replace(_QWEN, default="none")),
    ),
    *_rows(
        "openrouter",
        (
            r"",
            Capability(
                family="openrouter",
                control=Control.OPENROUTER,
                levels=("none", "minimal", *_LOW_TO_HIGH, "xhigh"),
                budget=Budget(1024, 128_000),
            ),
        ),
    ),
    *_rows(
        "vllm hosted_vllm",
        (r"(.*/)?(deepseek-r1|qwq|.*-thinking)", replace(_VLLM, family="vllm-always-on", levels=())),
        (r"", _VLLM),
    ),
)

REASONING = Capability(family="reasoning", control=Control.EFFORT, levels=_LOW_TO_HIGH, default=None)
"""A model at a provider without a row, of which the price list says that it reasons."""


def find(provider: str, model: str, *, reasons: bool = False) -> Capability:
    """The capability of a model by its provider's own name for it.

    ``reasons``: whether the price list says that the model reasons; it decides where the provider
    has no rows. A name may be preceded by the provider's (``gemini/gemini-2.5-pro``).
    """
    name = model.lower().removeprefix(f"{provider}/")
    for row in TABLE:
        if provider in row.providers and row.pattern.match(name):
            return row.capability
    return REASONING if reasons else PLAIN
