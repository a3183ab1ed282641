"""Configuration: ``ponder.yaml`` plus ``PONDER_*`` variables. Read in one place, when the program is put together.

Unknown keys are errors that name the nearest valid key and the line. Secrets never stand in the
file: an upstream names the environment variable that holds its key.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway.errors import ConfigurationError

DialectName: TypeAlias = Literal["openai-chat", "openai-responses", "anthropic-messages"]
_PositivePrice: TypeAlias = Decimal | None
_LAST_PORT = 65535


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
    name.
    """

    kind: Literal["openai", "anthropic", "litellm", "embedded"]
    base_url: str | None = None
    api_key_env: str | None = None
    provider: str | None = None
    dialects: tuple[DialectName, ...] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    connections: int = Field(default=512, ge=1, le=65536)
    first_byte_s: float = Field(default=120.0, gt=0)
    idle_s: float = Field(default=120.0, gt=0)
    retries: int = Field(default=1, ge=0, le=5)

    @field_validator("base_url")
    @classmethod
    def _has_a_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else value


class ModelSettings(_Strict):
    """A name that callers may ask for. ``name`` is the upstream's own name for it, if another."""

    upstream: str
    name: str | None = None
    price: PriceSettings | LocalPriceSettings | Literal["free"] | None = None
    context_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)


class LimitsSettings(_Strict):
    """What one request may be."""

    body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    header_bytes: int = Field(default=65536, ge=1024, le=1024 * 1024)
    deadline_s: float = Field(default=600.0, gt=0)
    default_output_tokens: int = Field(default=4096, ge=1)


class RetentionSettings(_Strict):
    """How long requests are kept, and whether their text is kept at all."""

    requests_days: int = Field(default=90, ge=1)
    store_text: bool = False
    text_days: int = Field(default=7, ge=1)


class DatabaseSettings(_Strict):
    """Where requests are kept; by default SQLite in PONDER_HOME."""

    url: str | None = None


class BrokerSettings(_Strict):
    """Celery's broker; by default a folder in PONDER_HOME."""

    url: str | None = None


class CorsSettings(_Strict):
    """Browser origins that may call the gateway; none by default."""

    allow_origins: tuple[str, ...] = ()


class Settings(_Strict):
    """The whole of ``ponder.yaml``."""

    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    allow_unpriced: bool = False
    limits: LimitsSettings = LimitsSettings()
    retention: RetentionSettings = RetentionSettings()
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    cors: CorsSettings = CorsSettings()


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses and folders, from ``PONDER_*`` variables."""

    host: str
    port: int
    home: Path
    config: Path
    database_url: str | None
    broker_url: str | None
    embedded_url: str | None = None
    """Where 'ponder up' runs the embedded model; set by it, as ``PONDER_EMBEDDED_URL``."""

    @property
    def default_key_file(self) -> Path:
        """Holds the first virtual key, mode 0600."""
        return self.home / "default.key"


def places(environment: Mapping[str, str]) -> Places:
    """Read ``PONDER_*`` variables; unset ones take the documented defaults."""
    port = environment.get("PONDER_PORT", "8000")
    if not port.isdecimal() or not 0 <= int(port) <= _LAST_PORT:
        raise ConfigurationError(f"PONDER_PORT is {port!r}; it must be a number from 0 to 65535")
    return Places(
        host=environment.get("PONDER_HOST", "127.0.0.1"),
        port=int(port),
        home=Path(environment.get("PONDER_HOME", ".ponder")).absolute(),
        config=Path(environment.get("PONDER_CONFIG", "ponder.yaml")).absolute(),
        database_url=environment.get("PONDER_DATABASE_URL") or None,
        broker_url=environment.get("PONDER_BROKER_URL") or None,
        embedded_url=environment.get("PONDER_EMBEDDED_URL") or None,
    )


def database_url(where: Places, settings: Settings) -> str:
    """The database's address: PONDER_DATABASE_URL, or ponder.yaml's, or SQLite in PONDER_HOME."""
    return where.database_url or settings.database.url or f"sqlite+aiosqlite:///{where.home / 'ponder.db'}"


def broker_url(where: Places, settings: Settings) -> str | None:
    """The broker's address: PONDER_BROKER_URL, or ponder.yaml's; None means a folder in PONDER_HOME."""
    return where.broker_url or settings.broker.url


def load(path: Path) -> Settings:
    """Read ``ponder.yaml``; a missing file means all defaults.

    Raises :class:`ConfigurationError` with every fault, each with its line and its remedy.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{path.name} cannot be read: {fault}") from fault
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ConfigurationError(f"{path.name} is not valid YAML: {fault}") from fault
    if data is None:
        return Settings()
    if not isinstance(data, dict):
        raise ConfigurationError(
            f"{path.name} must hold a mapping with keys such as {', '.join(Settings.model_fields)}"
        )
    try:
        return Settings.model_validate(data)
    except ValidationError as fault:
        lines = [_describe(path.name, node, dict(error)) for error in fault.errors()]
        raise ConfigurationError("\n".join(lines)) from fault


def _describe(name: str, root: yaml.Node | None, error: dict[str, Any]) -> str:
    location = tuple(error["loc"])
    where = ".".join(str(step) for step in location)
    line = _line_of(root, location)
    prefix = f"{name}:{line}: {where}: "
    if error["type"] != "extra_forbidden":
        return prefix + str(error["msg"])
    valid = _valid_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(valid)}"
    return f"{prefix}unknown key; {hint}"


def _line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, node = key.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


_SECTIONS: dict[str, type[_Strict]] = {
    "upstreams": UpstreamSettings,
    "models": ModelSettings,
    "limits": LimitsSettings,
    "retention": RetentionSettings,
    "database": DatabaseSettings,
    "broker": BrokerSettings,
    "cors": CorsSettings,
}
_PRICES: dict[str, type[_Strict]] = {
    "PriceSettings": PriceSettings,
    "LocalPriceSettings": LocalPriceSettings,
}


def _valid_keys(location: tuple[Any, ...]) -> list[str]:
    """The keys allowed in the mapping at ``location``."""
    if not location:
        return list(Settings.model_fields)
    price = _PRICES.get(str(location[-1]))
    model: type[_Strict] = price or _SECTIONS.get(str(location[0]), Settings)
    return list(model.model_fields)
