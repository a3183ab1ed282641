"""What a model takes: how its thinking is set, and what its provider refuses beside it.

A :class:`Capability` is facts about a model and no behaviour. The facts of the model families stand
in :mod:`gateway.domain.capability_table`; the provider's own list of models and the operator's
``ponder.yaml`` change single ones of them. What is done with the facts is the business of
:mod:`gateway.adapters.thinking`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.chat import ThinkingMode
from gateway.domain.effort import OFF


class Control(StrEnum):
    """The parameter by which a model's thinking is set."""

    PLAIN = "plain"
    """None, as the model does not think by itself: a system prompt asks it to, in ``<think>`` tags."""
    ALWAYS = "always"
    """None, as the model always thinks, as much as it likes."""
    ANTHROPIC = "anthropic"
    """``thinking`` and ``output_config.effort``."""
    EFFORT = "effort"
    """``reasoning_effort``, in the Responses API ``reasoning.effort``."""
    GEMINI_BUDGET = "gemini_budget"
    """``thinking_budget`` of Gemini 2.5."""
    GEMINI_LEVEL = "gemini_level"
    """``thinking_level`` of Gemini 3 and later."""
    DEEPSEEK = "deepseek"
    """``thinking.type`` and ``reasoning_effort``."""
    QWEN = "qwen"
    """``enable_thinking`` and ``thinking_budget``."""
    OPENROUTER = "openrouter"
    """``reasoning``, with ``effort`` or ``max_tokens``."""
    VLLM = "vllm"
    """``thinking_token_budget`` and ``chat_template_kwargs.enable_thinking``."""


class Taken(StrEnum):
    """When a provider takes something that does not go with every kind of thinking."""

    ALWAYS = "always"
    WITHOUT_BUDGET = "without_budget"
    """Unless thinking has a number of tokens (Anthropic's manual thinking)."""
    WITHOUT_THINKING = "without_thinking"
    NEVER = "never"


class Shown(StrEnum):
    """Where an answer shows what was thought."""

    APART = "apart"
    """In a field or a block of its own, or not at all."""
    TAGGED = "tagged"
    """Inside the answer's text, between ``<think>`` and ``</think>``."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The thinking tokens that may be asked for as a number; ``most`` is None where nothing is said.

    ``is_output``: whether thinking counts toward the request's output limit, so that this must
    leave room for it.
    """

    least: int = 1
    most: int | None = None
    is_output: bool = True


@dataclass(frozen=True, slots=True)
class Capability:
    """What a model takes. ``family`` names the row of the table that it comes from.

    ``levels`` are the efforts that can be sent, weakest first, with ``none`` among them where
    thinking can be switched off. ``default`` is the level that holds when nothing is sent, None
    where nobody says. ``modes`` are the values of Anthropic's ``thinking.type``.
    """

    family: str
    control: Control
    levels: tuple[str, ...] = ()
    default: str | None = None
    budget: Budget | None = None
    modes: frozenset[ThinkingMode] = frozenset()
    shown: Shown = Shown.APART
    forced_tools: Taken = Taken.ALWAYS
    """A ``tool_choice`` that demands a call."""
    sampling: Taken = Taken.ALWAYS
    """``temperature``, ``top_p``, ``top_k``, penalties and logprobs other than the default."""
    prefill: Taken = Taken.ALWAYS
    """A conversation that ends in the beginning of the answer."""
    tools_in_chat: Taken = Taken.ALWAYS
    """Function tools in Chat Completions; the Responses API takes them always."""
    levels_only_in_responses: frozenset[str] = frozenset()
    refuses: frozenset[str] = frozenset()
    """Parameters that are refused at every level."""
    takes_max_tokens: bool = True
    """Whether Chat's older name of the output limit is taken, and not ``max_completion_tokens`` only."""
    thinks_unstreamed: bool = True
    """Whether an answer that is not streamed may be thought about."""
    takes_tools: bool | None = None
    takes_images: bool | None = None

    @property
    def can_stop_thinking(self) -> bool:
        """Whether thinking can be switched off, or is never on."""
        return self.control is Control.PLAIN or OFF in self.levels

    @property
    def thinks_by_default(self) -> bool:
        """Whether the model thinks when nothing is sent; unknown counts as yes where thinking is native."""
        return self.control is not Control.PLAIN and self.default != OFF

    def obstacle(self, *, is_chat: bool, has_tools: bool, is_stream: bool) -> str | None:
        """Why the model cannot serve a request at all, whatever is done about its thinking; None where it can.

        ``is_chat``: whether it would be asked in Chat Completions.
        """
        if has_tools and self.takes_tools is False:
            return "takes no tools"
        if is_chat and has_tools and self.tools_in_chat is Taken.NEVER:
            return "takes tools in the Responses API only"
        if not self.thinks_unstreamed and not self.can_stop_thinking and not is_stream:
            return "always thinks, and answers in streams only"
        return None

    def prefers_responses(self, *, has_tools: bool, effort: str | None) -> bool:
        """Whether a request loses something in Chat Completions that it keeps in the Responses API."""
        loses_tools = has_tools and self.tools_in_chat is not Taken.ALWAYS
        return loses_tools or effort in self.levels_only_in_responses


PLAIN = Capability("plain", Control.PLAIN, levels=(OFF,), default=OFF)
"""A model of which nothing is known: it is asked to think by a prompt."""
