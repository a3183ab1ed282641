"""What serving needs, gathered once by ``wiring.py`` and handed down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.dialects.codec import Codec
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.flow.lane import Bounds, Lanes
from gateway.flow.settlements import Settlements
from gateway.policy.decide import Snapshots
from gateway.ports import AnswerIndex, Clock, Journal, KeyRing, Purse, Upstream
from gateway.telemetry import AccessLog, Meter


@dataclass(frozen=True, slots=True)
class Terms:
    """How an upstream is called: waits in seconds, retries before the first byte, calls at a time.

    ``is_openai``: OpenAI's own server, which refuses the extension fields that compatible servers
    take or pass over.
    """

    first_byte_s: float
    idle_s: float
    retries: int
    is_openai: bool
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Catalog:
    """Models and upstreams, from the configuration; replaced whole on reload."""

    models: Mapping[str, Model]
    upstreams: Mapping[str, Upstream]
    terms: Mapping[str, Terms]
    snapshots: Snapshots
    body_bytes: int
    bodies_bytes: int
    stores_text: bool


@dataclass(slots=True)
class House:
    """Everything ``serve`` reaches for. Only ``catalog`` changes while requests are served.

    ``is_stopping`` is set when requests still under way are about to be cancelled.
    """

    catalog: Catalog
    codecs: Mapping[Dialect, Codec]
    keys: KeyRing
    journal: Journal
    purse: Purse
    settlements: Settlements
    lanes: Lanes
    answers: AnswerIndex
    clock: Clock
    meter: Meter
    access_log: AccessLog
    is_stopping: bool = False
