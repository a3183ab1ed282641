"""The program put together: from settings and the environment to the parts that serve.

The only place that chooses between embedded and production parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TypeAlias

from gateway.adapters.anthropic_upstream import AnthropicUpstream
from gateway.adapters.encryption_keys import VARIABLE, EncryptionKeys
from gateway.adapters.key_file import read_or_create
from gateway.adapters.keyless_upstream import KeylessUpstream
from gateway.adapters.litellm_upstream import LiteLLMUpstream
from gateway.adapters.model_facts import ReportedModel, capability_of
from gateway.adapters.openai_upstream import OpenAIUpstream
from gateway.adapters.otel import OtelTracer, is_asked_for
from gateway.adapters.price_list import ListedModel, PriceList
from gateway.adapters.vllm_upstream import VllmUpstream
from gateway.adapters.webhook import Webhook, make_webhook
from gateway.dialects import anthropic_messages, openai_chat, openai_responses
from gateway.dialects.codec import Codec
from gateway.domain.capabilities import Capability
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.domain.notice import event_named
from gateway.domain.pricing import FREE, Price, per_gpu_hour, per_mtok
from gateway.domain.provider_key import OpenedKey
from gateway.domain.secret import PREFIX, Pepper
from gateway.errors import ConfigurationError
from gateway.flow.house import Catalog, Terms
from gateway.flow.lane import Bounds
from gateway.model_settings import LocalPriceSettings, ModelSettings, PriceSettings, UpstreamSettings
from gateway.policy.facts import Defaults
from gateway.ports import Upstream
from gateway.search_ports import Verifier
from gateway.settings import Places, Settings
from gateway.tracing import Tracer
from gateway.verifying import make_verifiers

CODECS: Mapping[Dialect, Codec] = {
    codec.dialect: codec for codec in (openai_chat.CODEC, openai_responses.CODEC, anthropic_messages.CODEC)
}
EMBEDDED = "embedded"
EMBEDDED_MODEL = "local"

UpstreamIdentity: TypeAlias = tuple[str, str, int | None]
"""An upstream's name, its settings as JSON, and its stored key's version: equal ones are kept across a reload."""

Reports: TypeAlias = Mapping[str, Mapping[str, ReportedModel]]
"""What providers say of their own models, by upstream and by their own name."""

_SECRET_LENGTH = 24
"""What a secret from the environment must have at least: 128 bits, in base 64 or as hexadecimal digits."""

_OPENAI_URL = "https://api.openai.com/v1"
_ANTHROPIC_URL = "https://api.anthropic.com"


@dataclass(frozen=True, slots=True)
class _Provider:
    """A hosted provider whose key in the environment adds its models by itself."""

    kind: str
    name: str


# OpenRouter is not here, as the price list has no model of it, and Cohere is not, as litellm reads
# neither the end nor the usage of its streams: both are configured in ponder.yaml, as kind openai.
# Base addresses are not read from OPENAI_BASE_URL or ANTHROPIC_BASE_URL: on a machine where those
# point clients at this very gateway, it would call itself.
HOSTED: Mapping[str, _Provider] = {
    "OPENAI_API_KEY": _Provider("openai", "openai"),
    "ANTHROPIC_API_KEY": _Provider("anthropic", "anthropic"),
    "GEMINI_API_KEY": _Provider("litellm", "gemini"),
    "MISTRAL_API_KEY": _Provider("litellm", "mistral"),
    "DEEPSEEK_API_KEY": _Provider("litellm", "deepseek"),
    "XAI_API_KEY": _Provider("litellm", "xai"),
    "GROQ_API_KEY": _Provider("litellm", "groq"),
    "TOGETHER_API_KEY": _Provider("litellm", "together_ai"),
    "TOGETHERAI_API_KEY": _Provider("litellm", "together_ai"),
}


@dataclass(frozen=True, slots=True)
class HomeSecrets:
    """The secrets of this machine: from its environment, or from files in PONDER_HOME that its first start makes."""

    default: str = field(repr=False)
    admin: str = field(repr=False)
    pepper: Pepper
    encryption: EncryptionKeys = field(repr=False, compare=False)


def home_secrets(places: Places, environment: Mapping[str, str]) -> HomeSecrets:
    """Read them, and make those there are none of. Raises ConfigurationError for an unreadable or a weak one."""
    return HomeSecrets(
        default=read_or_create(places.default_key_file),
        admin=_secret(environment, "PONDER_ADMIN_KEY") or read_or_create(places.admin_key_file),
        pepper=Pepper(_secret(environment, "PONDER_PEPPER") or read_or_create(places.pepper_file)),
        encryption=encryption_keys(places, environment),
    )


def encryption_keys(places: Places, environment: Mapping[str, str]) -> EncryptionKeys:
    """What stored provider keys are encrypted with. Raises ConfigurationError for a weak key, or a doubly used one."""
    given = tuple(key for each in environment.get(VARIABLE, "").split(",") if (key := each.strip()))
    if any(len(key) < _SECRET_LENGTH for key in given):
        raise ConfigurationError(
            f"{VARIABLE} holds a key that is shorter than {_SECRET_LENGTH} characters; it must be random: "
            "openssl rand -hex 32"
        )
    if set(given) & {environment.get("PONDER_PEPPER"), environment.get("PONDER_ADMIN_KEY")}:
        raise ConfigurationError(
            f"{VARIABLE} is PONDER_PEPPER or PONDER_ADMIN_KEY as well; it must be a key of its own"
        )
    return EncryptionKeys(places.encryption_key_file, given)


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    secret = environment.get(name) or None
    if secret is not None and len(secret) < _SECRET_LENGTH:
        raise ConfigurationError(
            f"{name} has {len(secret)} characters; it must be random, with at least {_SECRET_LENGTH}, or unset"
        )
    return secret


def make_webhooks(settings: Settings, environment: Mapping[str, str]) -> tuple[Webhook, ...]:
    """Whom to tell of events. Raises ConfigurationError naming the entry at fault, and neither address nor secret."""
    made: list[Webhook] = []
    for number, each in enumerate(settings.webhooks):
        secret = environment.get(each.secret_env)
        if not secret:
            raise ConfigurationError(
                f"webhooks.{number}: the environment variable {each.secret_env} (its secret_env) is not set"
            )
        events = frozenset(event_named(event) for event in each.events)
        try:
            made.append(make_webhook(each.url, secret, events, allow_private=each.allow_private))
        except ConfigurationError as fault:
            raise ConfigurationError(f"webhooks.{number}: {fault.message}") from fault
    return tuple(made)


def make_tracer(settings: Settings, environment: Mapping[str, str], version: str) -> Tracer | None:
    """What tells a collector of every request, where one is configured. Raises ConfigurationError."""
    endpoint = settings.telemetry.otlp_endpoint
    if not is_asked_for(endpoint, environment):
        return None
    return OtelTracer(None if endpoint is None else endpoint.rstrip("/"), environment, version)


def with_hosted(settings: Settings, environment: Mapping[str, str], embedded_url: str | None) -> Settings:
    """The settings plus an upstream for each provider key in the environment that none of them uses yet.

    A key of our own counts for none: it stands in OPENAI_API_KEY wherever clients are pointed at a
    gateway, and no provider takes it. With no upstream at all, the embedded model stands in, if it runs.
    """
    upstreams = dict(settings.upstreams)
    used = {upstream.api_key_env for upstream in upstreams.values()}
    for variable, provider in HOSTED.items():
        key = environment.get(variable)
        if key and not key.startswith(PREFIX) and variable not in used and provider.name not in upstreams:
            upstreams[provider.name] = UpstreamSettings.model_validate(
                {"kind": provider.kind, "api_key_env": variable, "provider": provider.name}
            )
    if not upstreams and embedded_url:
        upstreams[EMBEDDED] = UpstreamSettings(kind="embedded", base_url=embedded_url)
    return settings.model_copy(update={"upstreams": upstreams})


def catalog(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    embedded_url: str | None,
    stored_keys: Mapping[str, OpenedKey] | None = None,
    reported: Reports | None = None,
    reusable: Mapping[UpstreamIdentity, Upstream] | None = None,
    verifiers: Mapping[str, Verifier] | None = None,
) -> tuple[Catalog, dict[UpstreamIdentity, Upstream]]:
    """The models and upstreams that may be called, and the upstreams by their settings for the next reload.

    ``verifiers`` are those in force; one that does not change stays, with the scores that it remembers.
    Raises :class:`ConfigurationError` naming the entry at fault.
    """
    whole = with_hosted(settings, environment, embedded_url)
    made: dict[UpstreamIdentity, Upstream] = {}
    for name, upstream_settings in whole.upstreams.items():
        key = (stored_keys or {}).get(name) if upstream_settings.has_stored_key else None
        identity = (name, upstream_settings.model_dump_json(), None if key is None else key.version)
        kept = (reusable or {}).get(identity)
        made[identity] = kept or _upstream(name, upstream_settings, environment, key)
    prices = cache(PriceList.read)
    models = _hosted_models(settings, whole, prices, reported or {})
    if EMBEDDED in whole.upstreams and whole.upstreams[EMBEDDED].kind == "embedded":
        models[EMBEDDED_MODEL] = Model(EMBEDDED_MODEL, EMBEDDED, EMBEDDED_MODEL, FREE)
    for name, model_settings in settings.models.items():
        models[name] = _model(name, model_settings, whole, prices, reported or {})
    upstreams = {name: upstream for (name, *_), upstream in made.items()}
    terms = {name: _terms(each) for name, each in whole.upstreams.items()}
    return (
        Catalog(
            models=models,
            upstreams=upstreams,
            terms=terms,
            defaults=Defaults(
                deadline_s=settings.limits.deadline_s,
                default_output_tokens=settings.limits.default_output_tokens,
                may_serve_unpriced=settings.allow_unpriced,
                vllm_upstreams=frozenset(name for name, upstream in whole.upstreams.items() if upstream.kind == "vllm"),
            ),
            body_bytes=settings.limits.body_bytes,
            bodies_bytes=settings.limits.bodies_bytes,
            stores_text=settings.retention.store_text,
            verifiers=make_verifiers(settings.verifiers, models, upstreams, terms, verifiers or {}),
        ),
        made,
    )


def _terms(upstream: UpstreamSettings) -> Terms:
    return Terms(
        upstream.first_byte_s,
        upstream.idle_s,
        upstream.retries,
        _is_openai(upstream),
        Bounds(places=upstream.connections, queue=upstream.queue),
        is_vllm=upstream.kind == "vllm",
        by_priority=upstream.scheduling_policy == "priority",
    )


def _is_openai(upstream: UpstreamSettings) -> bool:
    """Whether this is OpenAI's own server, or Azure's of the same strictness."""
    return upstream.kind == "openai" and (
        upstream.provider in {"openai", "azure"} or upstream.base_url in {None, _OPENAI_URL}
    )


def _upstream(
    name: str, settings: UpstreamSettings, environment: Mapping[str, str], stored: OpenedKey | None
) -> Upstream:
    api_key = None if stored is None else stored.secret
    if settings.has_stored_key and stored is None:
        return KeylessUpstream(name, _dialects(settings))
    if settings.api_key_env is not None:
        api_key = environment.get(settings.api_key_env)
        if not api_key:
            raise ConfigurationError(
                f"upstreams.{name}: the environment variable {settings.api_key_env} (its api_key_env) is not set"
            )
    if settings.kind == "anthropic":
        return AnthropicUpstream(
            name=name,
            base_url=settings.base_url or _ANTHROPIC_URL,
            api_key=api_key,
            headers=settings.headers,
            connections=settings.connections,
            allow_private=settings.allow_private,
        )
    if settings.kind == "litellm":
        return LiteLLMUpstream(
            name=name,
            provider=settings.provider or name,
            api_key=api_key,
            base_url=settings.base_url,
            headers=settings.headers,
            connections=settings.connections,
            allow_private=settings.allow_private,
        )
    if settings.kind == "embedded" and settings.base_url is None:
        raise ConfigurationError(f"upstreams.{name}: an embedded upstream needs base_url, or start with 'ponder up'")
    if settings.kind == "vllm" and settings.base_url is None:
        raise ConfigurationError(f"upstreams.{name}: a vLLM upstream needs base_url, such as http://gpu-1:8000/v1")
    server = VllmUpstream if settings.kind == "vllm" else OpenAIUpstream
    return server(
        name=name,
        base_url=settings.base_url or _OPENAI_URL,
        api_key=api_key,
        dialects=_dialects(settings),
        headers=settings.headers,
        connections=settings.connections,
        allow_private=settings.allow_private,
    )


def _dialects(settings: UpstreamSettings) -> tuple[Dialect, ...]:
    """What an upstream speaks, the preferred dialect first."""
    if settings.kind == "anthropic":
        return AnthropicUpstream.dialects
    if settings.kind == "litellm":
        return LiteLLMUpstream.dialects
    if settings.dialects:
        return tuple(Dialect(dialect) for dialect in settings.dialects)
    if settings.kind == "openai" and settings.base_url in (None, _OPENAI_URL):
        return Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
    return (Dialect.OPENAI_CHAT,)


def _hosted_models(
    settings: Settings, whole: Settings, prices: Callable[[], PriceList], reported: Reports
) -> dict[str, Model]:
    """Every listed chat and embedding model of the providers that the environment added."""
    models: dict[str, Model] = {}
    today = datetime.now(UTC).date()
    for name in whole.upstreams.keys() - settings.upstreams.keys() - {EMBEDDED}:
        provider = whole.upstreams[name].provider or name
        # litellm reaches responses-only models (xAI's multi-agent ones) by a bridge that needs its proxy's packages.
        modes = ("chat", "embedding") if whole.upstreams[name].kind == "litellm" else ("chat", "responses", "embedding")
        for mode in modes:
            for upstream_name in prices().models(provider, mode, retired_by=today):
                listed = prices().find(provider, upstream_name)
                if listed is None or listed.price is None:
                    continue  # listed twice, with a price under another provider's form of its name only
                public = upstream_name if name in {"openai", "anthropic"} else f"{name}/{upstream_name}"
                own = reported.get(name, {}).get(upstream_name)
                capability = capability_of(provider, upstream_name, listed=listed, reported=own, told=None)
                models[public] = _listed_model(public, name, upstream_name, listed, capability)
    return models


def _model(
    name: str, settings: ModelSettings, whole: Settings, prices: Callable[[], PriceList], reported: Reports
) -> Model:
    upstream = whole.upstreams.get(settings.upstream)
    if upstream is None:
        raise ConfigurationError(
            f"models.{name}: upstream {settings.upstream!r} is not configured; there are: "
            f"{', '.join(sorted(whole.upstreams)) or 'none'}"
        )
    upstream_name = settings.name or name
    stated = _stated_price(settings)
    needs_list = stated is None or settings.context_tokens is None or settings.max_output_tokens is None
    is_listed = upstream.kind != "embedded" and needs_list
    provider = upstream.provider or (upstream.kind if upstream.kind == "anthropic" else settings.upstream)
    listed = prices().find(provider, upstream_name) if is_listed else None
    own = reported.get(settings.upstream, {}).get(upstream_name)
    family = "openai" if _is_openai(upstream) and upstream.provider is None else provider
    capability = capability_of(family, upstream_name, listed=listed, reported=own, told=settings.thinking)
    model = _listed_model(name, settings.upstream, upstream_name, listed, capability)
    return replace(
        model,
        price=stated or model.price,
        context_tokens=settings.context_tokens or model.context_tokens or (own.max_input_tokens if own else None),
        max_output_tokens=settings.max_output_tokens
        or model.max_output_tokens
        or (own.max_output_tokens if own else None),
    )


def _listed_model(
    name: str, upstream: str, upstream_name: str, listed: ListedModel | None, capability: Capability
) -> Model:
    if listed is None:
        return Model(name, upstream, upstream_name, None, capability=capability)
    limits = listed.max_input_tokens, listed.max_output_tokens
    return Model(name, upstream, upstream_name, listed.price, *limits, capability=capability)


def _stated_price(settings: ModelSettings) -> Price | None:
    match settings.price:
        case None:
            return None
        case "free":
            return FREE
        case LocalPriceSettings() as local:
            return per_gpu_hour(
                gpu_hour_usd=local.gpu_hour_usd,
                gpus=local.gpus,
                output_tokens_per_s=local.output_tokens_per_s,
                input_tokens_per_s=local.input_tokens_per_s,
            )
        case PriceSettings() as stated:
            return per_mtok(**stated.model_dump())
