"""``models.NAME.thinking`` of ``ponder.yaml``: what the operator knows better of a model than the table does."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Level: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
TakenName: TypeAlias = Literal["always", "without_budget", "without_thinking", "never"]


class ThinkingSettings(BaseModel):
    """Facts about one model's thinking; those left out are the table's, of the row for the model or for ``like``.

    ``like`` is another model's name, with its provider before it: ``anthropic/claude-sonnet-5``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    like: str | None = Field(default=None, pattern=r"^[^/]+/.+$")
    control: (
        Literal[
            "plain", "always", "anthropic", "effort", "gemini_budget", "gemini_level", "deepseek", "qwen",
            "openrouter", "vllm",
        ]
        | None
    ) = None  # fmt: skip
    levels: tuple[Level, ...] | None = None
    default: Level | None = None
    least_tokens: int | None = Field(default=None, ge=0)
    most_tokens: int | None = Field(default=None, ge=1)
    takes_tokens: bool | None = None
    modes: tuple[Literal["enabled", "adaptive", "disabled", "between_tools"], ...] | None = None
    shown: Literal["apart", "tagged"] | None = None
    forced_tools: TakenName | None = None
    sampling: TakenName | None = None
    prefill: TakenName | None = None
    tools_in_chat: TakenName | None = None
    tools: bool | None = None
    images: bool | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.least_tokens is not None and self.most_tokens is not None and self.least_tokens > self.most_tokens:
            raise ValueError("least_tokens is above most_tokens")
        if self.takes_tokens is False and (self.least_tokens is not None or self.most_tokens is not None):
            raise ValueError("takes_tokens is false, so least_tokens and most_tokens say nothing")
        return self
