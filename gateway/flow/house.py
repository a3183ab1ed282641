"""What serving needs, gathered once by ``wiring.py`` and handed down."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.dialects.codec import Codec
from gateway.domain.ask import Hints
from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.domain.model import Model
from gateway.domain.prediction import Prediction, Prompt
from gateway.domain.profile import Profile
from gateway.flow.crossings import Crossings
from gateway.flow.drive import FanOut
from gateway.flow.exploring import ExploreTally
from gateway.flow.health import HealthWatch
from gateway.flow.lane import Bounds, Lanes
from gateway.flow.latencies import LatencyLearner
from gateway.flow.salts import Salts
from gateway.flow.settlements import Settlements
from gateway.policy.document import ClassifyDocument
from gateway.policy.facts import Defaults
from gateway.policy.ready import ReadyPolicy
from gateway.ports import (
    AnswerIndex,
    Classifier,
    Clock,
    Journal,
    Judge,
    KeyRing,
    Purse,
    StickyArms,
    ThinkingActuator,
    Upstream,
)
from gateway.search_ports import Graders, LoadSignals, Verifier
from gateway.telemetry import AccessLog, Meter
from gateway.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Terms:
    """How an upstream is called: waits in seconds, retries before the first byte, calls at a time.

    ``is_openai``: OpenAI's own server, which refuses the extension fields that compatible servers
    take or pass over. ``is_vllm``: one that continues token ids, keeps its cache by salt, and tells its load;
    ``by_priority``: and lets calls of a lower priority number go before others.
    """

    first_byte_s: float
    idle_s: float
    retries: int
    is_openai: bool
    bounds: Bounds
    is_vllm: bool = False
    by_priority: bool = False


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """A policy in force: ready to decide, with what is done before and after the decision."""

    ready: ReadyPolicy
    classify: ClassifyDocument
    retries_empty: bool
    stores_text: bool
    reads_budget: bool
    """Whether a rule looks at what the budget leaves: it takes a round trip where limits are in Redis."""
    label: Callable[[Key, Hints, Prompt], Prediction | None]
    """By the policy's own rules: a mark on the request says what kind of ask it is."""
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """Models and upstreams, from the configuration; replaced whole on reload."""

    models: Mapping[str, Model]
    upstreams: Mapping[str, Upstream]
    terms: Mapping[str, Terms]
    defaults: Defaults
    body_bytes: int
    bodies_bytes: int
    stores_text: bool
    policies: Mapping[str, ActivePolicy] = field(default_factory=dict)
    default_policy: str = "default"
    """For keys that name none."""
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    caps: Mapping[str, int] = field(default_factory=dict)
    """The most samples that a search draws for a verifier to choose from; beyond, its choice gets worse."""


@dataclass(slots=True)
class House:
    """Everything ``serve`` reaches for. Only ``catalog`` changes while requests are served.

    ``is_leaving`` is set when the gateway was told to stop: it is not ready any more, and serves what still comes.
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
    think: ThinkingActuator
    health: HealthWatch
    latencies: LatencyLearner
    sticky: StickyArms
    classify: Classifier
    crossings: Crossings = field(default_factory=Crossings)
    judge: Judge | None = None
    """Asked by policies whose chain names a model."""
    draw: Callable[[], float] = random.random
    """Evenly from 0 up to 1: whether to explore."""
    explored: ExploreTally = field(default_factory=ExploreTally)
    salts: Salts = field(default_factory=Salts)
    fan_out: FanOut = field(default_factory=FanOut)
    graders: Graders | None = None
    """Asked where a request brings a check along."""
    loads: LoadSignals | None = None
    """How busy the servers are that searches draw from."""
    tracer: Tracer | None = None
    """Sends what happens to a collector; None where nobody asked for that."""
    is_leaving: bool = False
    is_stopping: bool = False
