"""Configuration: ``ponder.yaml`` plus ``PONDER_*`` variables. Read in one place, when the program is put together.

Unknown keys are errors that name the nearest valid key and the line. Secrets never stand in the
file: an upstream names the environment variable that holds its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway import yaml_text
from gateway.errors import ConfigurationError
from gateway.model_settings import ModelSettings, UpstreamSettings
from gateway.verifier_settings import VerifierSettings

EventName: TypeAlias = Literal[
    "budget.soft_limit",
    "budget.exhausted",
    "profile.canary_promoted",
    "profile.canary_withdrawn",
    "profile.suspended",
    "profile.expired",
    "profile.lapsed",
]
_LAST_PORT = 65535


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsSettings(_Strict):
    """What one request may be; and, of all together, how many bytes of bodies and how many connections are held."""

    body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    bodies_bytes: int = Field(default=512 * 1024 * 1024, ge=1024)
    header_bytes: int = Field(default=65536, ge=1024, le=1024 * 1024)
    connections: int = Field(default=8192, ge=1)
    receive_s: float = Field(default=120.0, ge=1)
    deadline_s: float = Field(default=600.0, gt=0)
    default_output_tokens: int = Field(default=4096, ge=1)
    draws_per_request: int = Field(default=32, ge=1, le=4096)
    draws: int = Field(default=256, ge=1, le=65536)


class RetentionSettings(_Strict):
    """How long requests are kept, and whether their text is kept at all."""

    requests_days: int = Field(default=90, ge=1)
    store_text: bool = False
    text_days: int = Field(default=7, ge=1)


class DatabaseSettings(_Strict):
    """Where requests are kept; by default SQLite in PONDER_HOME."""

    url: str | None = None


class JournalSettings(_Strict):
    """What becomes of requests while the journal's disk is full: refused, or served without a record."""

    on_full_disk: Literal["refuse", "serve_unrecorded"] = "refuse"


class RedisSettings(_Strict):
    """Limits and money shared by many gateway processes; in memory without a ``url``.

    ``when_away``: whether requests are refused while Redis is away, or each process goes on with
    its share of what is left.
    """

    url: str | None = None
    when_away: Literal["open", "closed"] = "closed"


class ShutdownSettings(_Strict):
    """For how long a gateway that was told to stop says so, and serves on, before it accepts no more."""

    notice_s: float = Field(default=0.0, ge=0, le=300)


class BrokerSettings(_Strict):
    """Celery's broker; by default a folder in PONDER_HOME."""

    url: str | None = None


class KeySettings(_Strict):
    """How long keys are honoured while the database is away; by default for as long as it takes."""

    max_age_s: float | None = Field(default=None, ge=5)


class BackgroundSettings(_Strict):
    """Responses and batches that are answered later: whether, how many at once, how large, and how long results stay.

    ``provider_batches``: whether a batch runs at its provider, at its price for batches, where that can be.
    """

    enabled: bool = True
    concurrency: int = Field(default=8, ge=1, le=4096)
    keep_hours: int = Field(default=24, ge=1)
    max_batch_lines: int = Field(default=50_000, ge=1)
    max_file_bytes: int = Field(default=200 * 1024 * 1024, ge=1024)
    max_key_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=1024)
    max_key_waiting: int = Field(default=10_000, ge=1)
    provider_batches: bool = True


class GraderSettings(_Strict):
    """Checks that requests ask for: how many at once, and whether code runs in them, for how long, in what memory."""

    code: bool = False
    processes: int = Field(default=2, ge=1, le=256)
    code_s: float = Field(default=10.0, gt=0, le=300)
    code_memory_bytes: int = Field(default=512 * 1024 * 1024, ge=64 * 1024 * 1024)


class CalibrationSettings(_Strict):
    """Where the calibrator asks what it measures, by default at the gateway of this home, and how much at once."""

    gateway_url: str | None = None
    concurrency: int = Field(default=4, ge=1, le=1024)


class TelemetrySettings(_Strict):
    """Where spans and measures are sent, by OTLP over HTTP; nowhere by default."""

    otlp_endpoint: str | None = Field(default=None, pattern="^https?://[^?#]+$")


class CorsSettings(_Strict):
    """Browser origins that may call the gateway; none by default."""

    allow_origins: tuple[str, ...] = ()


_NAME_OF_STORED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")
"""Names of upstreams that stand in a path of the admin API."""


class WebhookSettings(_Strict):
    """Somebody to be told of budgets and profiles; ``secret_env`` names the variable with the secret that signs."""

    url: str
    secret_env: str
    events: tuple[EventName, ...] = Field(default=get_args(EventName), min_length=1)
    allow_private: bool = False


class Settings(_Strict):
    """The whole of ``ponder.yaml``.

    ``policy`` decides for ``model: auto`` where neither key nor team names one. ``policies_dir`` is the
    folder of the operator's policies, from where ``ponder.yaml`` lies; by default ``policies``.
    """

    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    verifiers: dict[str, VerifierSettings] = Field(default_factory=dict)
    policy: str = "default"
    policies_dir: str | None = None
    allow_unpriced: bool = False
    limits: LimitsSettings = LimitsSettings()
    keys: KeySettings = KeySettings()
    retention: RetentionSettings = RetentionSettings()
    database: DatabaseSettings = DatabaseSettings()
    journal: JournalSettings = JournalSettings()
    broker: BrokerSettings = BrokerSettings()
    redis: RedisSettings = RedisSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    background: BackgroundSettings = BackgroundSettings()
    graders: GraderSettings = GraderSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    cors: CorsSettings = CorsSettings()
    webhooks: tuple[WebhookSettings, ...] = ()

    @field_validator("upstreams")
    @classmethod
    def _can_be_named(cls, upstreams: dict[str, UpstreamSettings]) -> dict[str, UpstreamSettings]:
        for name, upstream in upstreams.items():
            if upstream.has_stored_key and not _NAME_OF_STORED.fullmatch(name):
                raise ValueError(
                    "an upstream with a stored key has a name of at most 64 letters, digits and . _ @ : -, "
                    f"which {name!r} is not"
                )
        return upstreams


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses and folders, from ``PONDER_*`` variables."""

    host: str
    port: int
    home: Path
    config: Path
    database_url: str | None
    broker_url: str | None
    redis_url: str | None
    embedded_url: str | None = None
    """Where 'ponder up' runs the embedded model; set by it, as ``PONDER_EMBEDDED_URL``."""
    admin_host: str | None = None
    """Where ``/admin``, ``/metrics`` and ``/dashboard`` are served; None means ``host``."""
    admin_port: int | None = None
    """The port that these have for themselves; None means that they share ``port``."""

    @property
    def default_key_file(self) -> Path:
        """Holds the first virtual key, mode 0600."""
        return self.home / "default.key"

    @property
    def admin_key_file(self) -> Path:
        """Holds the first key to ``/admin``, mode 0600."""
        return self.home / "admin.key"

    @property
    def pepper_file(self) -> Path:
        """Holds the key that digests of secrets are made with, mode 0600."""
        return self.home / "pepper.key"

    @property
    def encryption_key_file(self) -> Path:
        """Holds the key that stored provider keys are encrypted with, mode 0600; made when the first one is stored."""
        return self.home / "encryption.key"

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and port of ``/admin``."""
        if self.admin_port is None:
            return self.host, self.port
        return self.admin_host or self.host, self.admin_port

    @property
    def journal(self) -> Path:
        """Holds what the database has not got yet. On a disk of this machine: its locks are the kernel's."""
        return self.home / "journal"


def places(environment: Mapping[str, str]) -> Places:
    """Read ``PONDER_*`` variables; unset ones take the documented defaults."""
    port = _port(environment, "PONDER_PORT") if "PONDER_PORT" in environment else 8000
    admin_port = _port(environment, "PONDER_ADMIN_PORT") if environment.get("PONDER_ADMIN_PORT") else None
    if admin_port == port:
        raise ConfigurationError(f"PONDER_ADMIN_PORT is {port}, as is PONDER_PORT; it must be another, or unset")
    return Places(
        host=environment.get("PONDER_HOST", "127.0.0.1"),
        port=port,
        admin_host=environment.get("PONDER_ADMIN_HOST") or None,
        admin_port=admin_port,
        home=Path(environment.get("PONDER_HOME", ".ponder")).absolute(),
        config=Path(environment.get("PONDER_CONFIG", "ponder.yaml")).absolute(),
        database_url=environment.get("PONDER_DATABASE_URL") or None,
        broker_url=environment.get("PONDER_BROKER_URL") or None,
        redis_url=environment.get("PONDER_REDIS_URL") or None,
        embedded_url=environment.get("PONDER_EMBEDDED_URL") or None,
    )


def _port(environment: Mapping[str, str], name: str) -> int:
    port = environment[name]
    if not port.isdecimal() or not 0 <= int(port) <= _LAST_PORT:
        raise ConfigurationError(f"{name} is {port!r}; it must be a number from 0 to {_LAST_PORT}")
    return int(port)


def database_url(where: Places, settings: Settings) -> str:
    """The database's address: PONDER_DATABASE_URL, or ponder.yaml's, or SQLite in PONDER_HOME."""
    return where.database_url or settings.database.url or f"sqlite+aiosqlite:///{where.home / 'ponder.db'}"


def broker_url(where: Places, settings: Settings) -> str | None:
    """The broker's address: PONDER_BROKER_URL, or ponder.yaml's; None means a folder in PONDER_HOME."""
    return where.broker_url or settings.broker.url


def load(path: Path, *, must_exist: bool = False) -> Settings:
    """Read ``ponder.yaml``; a missing file means all defaults, unless it ``must_exist``.

    Raises :class:`ConfigurationError` with every fault, each with its line and its remedy.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as fault:
        if must_exist:
            raise ConfigurationError(f"{path.name} is gone; put it back, or start again to serve defaults") from fault
        return Settings()
    except OSError as fault:
        raise ConfigurationError(f"{path.name} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigurationError(f"{path.name} is not UTF-8 text at byte {fault.start + 1}") from fault
    return read(path.name, text)


def read(name: str, text: str) -> Settings:
    """The settings that a text holds; ``name`` is what its faults are told by. Raises ConfigurationError."""
    data, node = yaml_text.parse(name, text)
    if data is None:
        return Settings()
    if not isinstance(data, dict):
        raise ConfigurationError(f"{name} must hold a mapping with keys such as {', '.join(Settings.model_fields)}")
    try:
        return Settings.model_validate(data)
    except ValidationError as fault:
        raise ConfigurationError(yaml_text.faults(name, node, Settings, fault)) from fault


def needs_restart(running: Settings, changed: Settings) -> tuple[str, ...]:
    """The settings that differ and are only read at start."""
    sections = [name for name in _READ_AT_START if getattr(running, name) != getattr(changed, name)]
    sections += [
        f"limits.{name}"
        for name in ("header_bytes", "receive_s", "connections", "draws_per_request", "draws")
        if getattr(running.limits, name) != getattr(changed.limits, name)
    ]
    return tuple(sections)


_READ_AT_START = (
    *("database", "broker", "cors", "keys", "journal", "redis", "shutdown", "background", "graders", "telemetry"),
)
