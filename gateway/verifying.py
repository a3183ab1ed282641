"""Verifiers made of the configuration: each kind from its settings, its model and the upstream that the model is at."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.adapters.litellm_upstream import LiteLLMUpstream
from gateway.adapters.verifiers.calls import Calls, CallTerms
from gateway.adapters.verifiers.classify import Classify
from gateway.adapters.verifiers.judge import Judge
from gateway.adapters.verifiers.label import Label
from gateway.adapters.verifiers.likelihood import Likelihood
from gateway.adapters.verifiers.model_verifier import Form, Manner, ModelVerifier
from gateway.adapters.verifiers.outcome import Pairs
from gateway.adapters.verifiers.passages import Template
from gateway.adapters.verifiers.step_rewards import StepRewards
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.errors import ConfigurationError
from gateway.flow.house import Terms
from gateway.ports import Upstream
from gateway.search.aggregate import Aggregation
from gateway.search_ports import Verifier
from gateway.verifier_settings import (
    ClassifySettings,
    JudgeSettings,
    LabelSettings,
    LikelihoodSettings,
    OutcomeSettings,
    StepRewardsSettings,
    VerifierSettings,
)


def make_verifiers(
    settings: Mapping[str, VerifierSettings],
    models: Mapping[str, Model],
    upstreams: Mapping[str, Upstream],
    terms: Mapping[str, Terms],
    kept: Mapping[str, Verifier],
) -> dict[str, Verifier]:
    """Every verifier by its name; one of ``kept`` that is no different stays, with what it remembers.

    Raises ConfigurationError naming the entry at fault.
    """
    made: dict[str, Verifier] = {}
    for name, each in settings.items():
        fresh = _verifier(name, each, _calls(name, each, models, upstreams, terms))
        before = kept.get(name)
        made[name] = before if before is not None and fresh.is_like(before) else fresh
    return made


def _calls(
    name: str,
    settings: VerifierSettings,
    models: Mapping[str, Model],
    upstreams: Mapping[str, Upstream],
    terms: Mapping[str, Terms],
) -> Calls:
    model = models.get(settings.model)
    if model is None:
        raise ConfigurationError(
            f"verifiers.{name}: model {settings.model!r} is not configured; `ponder models list` shows those that are"
        )
    of = terms[model.upstream]
    upstream = upstreams[model.upstream]
    if isinstance(settings, LabelSettings) and not _speaks_openai(upstream):
        raise ConfigurationError(
            f"verifiers.{name}: kind label needs a model at an upstream of kind vllm or openai, "
            f"and {model.upstream} is of another kind"
        )
    if not isinstance(settings, LabelSettings | JudgeSettings) and not of.is_vllm:
        raise ConfigurationError(
            f"verifiers.{name}: kind {settings.kind} needs a model at an upstream of kind vllm, "
            f"and {model.upstream} is of another kind"
        )
    return Calls(name, model, upstream, CallTerms(of.first_byte_s, of.idle_s, of.retries, of.is_vllm))


def _speaks_openai(upstream: Upstream) -> bool:
    """Whether it passes bodies in OpenAI's words on as they are."""
    return upstream.dialects[0] is Dialect.OPENAI_CHAT and not isinstance(upstream, LiteLLMUpstream)


def _verifier(name: str, settings: VerifierSettings, calls: Calls) -> ModelVerifier:
    manner = _manner(settings)
    return ModelVerifier(name, settings.model, manner, _form(settings, calls, is_logit=manner.is_logit))


def _manner(settings: VerifierSettings) -> Manner:
    match settings:
        case JudgeSettings():
            return Manner(settings.steps, Aggregation(settings.aggregation), max_steps=settings.max_steps)
        case ClassifySettings() | LabelSettings():
            is_logit = settings.scale == "logit"
            return Manner(settings.steps, Aggregation(settings.aggregation), is_logit, settings.max_steps)
        case StepRewardsSettings() | LikelihoodSettings():
            return Manner("each", Aggregation(settings.aggregation), settings.scale == "logit")
        case OutcomeSettings():
            return Manner("none", Aggregation.LAST, settings.scale == "logit")


def _form(settings: VerifierSettings, calls: Calls, *, is_logit: bool) -> Form:
    match settings:
        case StepRewardsSettings():
            template = Template(settings.template, settings.step_tag, settings.step_gap, forbids_tag=True)
            return StepRewards(calls, template, settings.label, is_logit, settings.batch)
        case ClassifySettings():
            template = Template(settings.template, settings.step_tag, settings.step_gap)
            return Classify(calls, template, settings.label, is_logit, settings.batch)
        case LabelSettings():
            template = Template(settings.template, settings.step_tag, settings.step_gap)
            return Label(calls, template, settings.labels, is_logit, settings.batch)
        case LikelihoodSettings():
            template = Template(settings.template, settings.step_tag, settings.step_gap)
            return Likelihood(calls, template, settings.weights, is_logit, settings.batch)
        case OutcomeSettings(endpoint="classify"):
            return Classify(calls, Template(settings.template), settings.label, is_logit, settings.batch)
        case OutcomeSettings():
            return Pairs(calls, is_logit, settings.batch)
        case JudgeSettings():
            asks = _speaks_openai(calls.upstream) if settings.logprobs is None else settings.logprobs
            return Judge(calls, settings.question, settings.max_output_tokens, asks)
