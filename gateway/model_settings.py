"""``upstreams``, ``models`` and their prices in ``ponder.yaml``: which servers are called, and what for."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.thinking_settings import ThinkingSettings

DialectName: TypeAlias = Literal["openai-chat", "openai-responses", "anthropic-messages"]
_PositivePrice: TypeAlias = Decimal | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceSettings(_Strict):
    """A price in dollars per million tokens; classes left out fall back as pricing.py documents."""

    input_per_mtok: Decimal = Field(ge=0)
    output_per_mtok: Decimal = Field(ge=0)
    cached_input_per_mtok: _PositivePrice = Field(default=None, ge=0)
    cache_write_5m_per_mtok: _PositivePrice = Field(default=None, ge=0)
    cache_write_1h_per_mtok: _PositivePrice = Field(default=None, ge=0)
    thinking_per_mtok: _PositivePrice = Field(default=None, ge=0)
    audio_input_per_mtok: _PositivePrice = Field(default=None, ge=0)
    audio_output_per_mtok: _PositivePrice = Field(default=None, ge=0)
    web_search_usd: _PositivePrice = Field(default=None, ge=0)


class LocalPriceSettings(_Strict):
    """The price of a model on own hardware: $/GPU-hour ÷ measured throughput."""

    gpu_hour_usd: Decimal = Field(gt=0)
    gpus: int = Field(default=1, ge=1)
    output_tokens_per_s: Decimal = Field(gt=0)
    input_tokens_per_s: Decimal | None = Field(default=None, gt=0)


class UpstreamSettings(_Strict):
    """A server we call.

    ``provider`` is the name under which the price list knows it; by default the upstream's own
    name. ``api_key: stored`` takes the key from the database, where it is encrypted.
    ``scheduling_policy`` is what a vLLM was started with (``--scheduling-policy``).
    """

    kind: Literal["openai", "vllm", "anthropic", "litellm", "embedded"]
    base_url: str | None = None
    api_key_env: str | None = None
    api_key: Literal["stored"] | None = None
    provider: str | None = None
    dialects: tuple[DialectName, ...] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    connections: int = Field(default=512, ge=1, le=65536)
    queue: int = Field(default=1024, ge=0, le=65536)
    first_byte_s: float = Field(default=120.0, gt=0)
    idle_s: float = Field(default=120.0, gt=0)
    retries: int = Field(default=1, ge=0, le=5)
    allow_private: bool = False
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"

    @property
    def has_stored_key(self) -> bool:
        """Whether the database holds its key; ``stored`` is all that ``api_key`` may say."""
        return self.api_key is not None

    @field_validator("base_url")
    @classmethod
    def _has_a_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("takes its key from api_key_env or from api_key: stored, not from both")
        return self

    @model_validator(mode="after")
    def _schedules_by_itself(self) -> Self:
        if self.scheduling_policy == "priority" and self.kind != "vllm":
            raise ValueError(f"scheduling_policy: priority is for upstreams of kind vllm, not of kind {self.kind}")
        return self


class ModelSettings(_Strict):
    """A name that callers may ask for. ``name`` is the upstream's own name for it, if another."""

    upstream: str
    name: str | None = None
    price: PriceSettings | LocalPriceSettings | Literal["free"] | None = None
    context_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    thinking: ThinkingSettings | None = None
