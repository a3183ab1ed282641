"""A configuration of LiteLLM's proxy as one of ours: models, upstreams and fallbacks, and what has no counterpart.

https://docs.litellm.ai/docs/proxy/configs. Nothing secret is taken over: a key that stands in the file
becomes the name of a variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.commands.litellm_policies import Chain, policies_of
from gateway.commands.litellm_providers import LeftOut, Server, is_hosted, server_of, split_model, variable_of
from gateway.commands.litellm_settings import remarks_on_settings, retries_of
from gateway.errors import ConfigurationError

ENVIRONMENT: Final = "os.environ/"
_MILLION: Final = 1_000_000
_PRICES: Final = {
    "input_cost_per_token": "input_per_mtok",
    "output_cost_per_token": "output_per_mtok",
    "cache_read_input_token_cost": "cached_input_per_mtok",
    "cache_creation_input_token_cost": "cache_write_5m_per_mtok",
    "output_cost_per_reasoning_token": "thinking_per_mtok",
    "input_cost_per_audio_token": "audio_input_per_mtok",
    "output_cost_per_audio_token": "audio_output_per_mtok",
}
_HANDLED: Final = frozenset(
    {"model", "api_key", "api_base", "base_url", "api_version", "litellm_credential_name", "custom_llm_provider",
     "timeout", "stream_timeout", "max_retries", "num_retries", "extra_headers", "headers", "organization",
     "max_parallel_requests", *_PRICES}
)  # fmt: skip
_REASONS: Final = {
    "rpm": "limits are those of keys and teams, not of a deployment: ponder keys create --requests-per-minute",
    "tpm": "limits are those of keys and teams, not of a deployment: ponder keys create --tokens-per-minute",
    "weight": "there is no weighted choice between deployments; the first is called, the others are fallbacks",
    "order": "deployments are tried in the order of the file",
    "reasoning_effort": "an arm of a policy says how hard to think, or the client does",
    "thinking": "an arm of a policy says how hard to think, or the client does",
    "input_cost_per_second": "a price is per token, or gpu_hour_usd with output_tokens_per_s",
    "output_cost_per_second": "a price is per token, or gpu_hour_usd with output_tokens_per_s",
    "tags": "who may use a model is said by a key's --model",
}
_CLIENTS: Final = "the client sends it; nothing is set for a model"
_SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_NOT_WORD: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Remark:
    """A place in LiteLLM's file that is not, or not quite, in ours, and why."""

    where: str
    why: str


@dataclass(slots=True)
class Conversion:
    """Our configuration as plain values, the policies beside it, and remarks on what did not map."""

    upstreams: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    """Variables that must be set, and whose key each holds."""
    commands: list[str] = field(default_factory=list)
    """What is not configuration here, as commands for a running gateway."""
    remarks: list[Remark] = field(default_factory=list)

    def remark(self, where: str, why: str) -> None:
        """Note something once."""
        if (each := Remark(where, why)) not in self.remarks:
            self.remarks.append(each)


def convert(document: object, environment: Mapping[str, str]) -> Conversion:
    """Convert a parsed file; addresses that it takes from the environment are read there.

    Raises ConfigurationError for what is no configuration of LiteLLM's proxy.
    """
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        raise ConfigurationError("the file has no model_list; it must be a config.yaml of LiteLLM's proxy")
    made = Conversion()
    reader = _Reader(document, environment, made)
    groups: dict[str, list[str]] = {}
    for number, entry in enumerate(document["model_list"]):
        where = f"model_list[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("litellm_params"), dict):
            made.remark(where, "it has no litellm_params")
            continue
        try:
            name = reader.deployment(where, entry)
        except LeftOut as fault:
            made.remark(where, str(fault))
        else:
            groups.setdefault(str(entry["model_name"]), []).append(name)
    _add_aliases(document, made)
    remarks_on_settings(document, made)
    made.policies = policies_of(Chain.read(document, groups, made))
    if made.policies:
        made.others["policies_dir"] = "policies"
    return made


class _Reader:
    """Reads deployments, one after another."""

    def __init__(self, document: Mapping[str, Any], environment: Mapping[str, str], made: Conversion) -> None:
        self._environment = environment
        self._made = made
        self._retries = retries_of(document)
        self._credentials = {
            str(each.get("credential_name")): each.get("credential_values") or {}
            for each in document.get("credential_list") or []
            if isinstance(each, dict)
        }

    def deployment(self, where: str, entry: Mapping[str, Any]) -> str:
        """Add one entry of ``model_list``; the name that its model has here. Raises LeftOut where it has none."""
        made = self._made
        params = {**self._credential(entry["litellm_params"]), **entry["litellm_params"]}
        info: Mapping[str, Any] = told if isinstance(told := entry.get("model_info"), dict) else {}
        public, model = str(entry.get("model_name") or ""), str(params.get("model") or "")
        family, upstream_name = split_model(model)
        provider = params.get("custom_llm_provider") or family
        if "*" in public or "*" in model:
            raise LeftOut(self._instead_of_all(provider, params))
        if not public or provider is None:
            raise LeftOut(f"the provider of {model or 'a model without a name'} is not known")
        server = server_of(str(provider), self._address(params))
        for remark in server.remarks:
            made.remark(where, remark)
        name = _free(public, made.models)
        made.models[name] = {
            "upstream": self._upstream(where, str(provider), server, params),
            **({} if upstream_name == name else {"name": upstream_name}),
            **self._facts(where, params, info),
        }
        if "price" not in made.models[name] and server.kind in {"openai", "vllm"} and server.provider is None:
            made.remark(f"models.{name}", "it has no price, and is refused until it has one: docs, 'Prices'")
        self._leftovers(where, params, info)
        return name

    def _credential(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        named = params.get("litellm_credential_name")
        found = self._credentials.get(str(named), {}) if named else {}
        return found if isinstance(found, dict) else {}

    def _instead_of_all(self, provider: object, params: Mapping[str, Any]) -> str:
        """What is done here in place of a name with ``*`` in it."""
        variable = _variable(params.get("api_key")) or variable_of(str(provider))
        if provider == "*" or provider is None:
            return "every provider whose key is in the environment has its models by itself; others are listed by name"
        if is_hosted(str(provider), variable):
            self._made.variables[str(variable)] = str(provider)
            return f"with {variable} in the environment the models of {provider} are there by themselves"
        return f"models of {provider} are listed one by one"

    def _address(self, params: Mapping[str, Any]) -> str | None:
        """The base address; None for the provider's own. Raises LeftOut for one that cannot be known here."""
        given = params.get("api_base") or params.get("base_url")
        if not given:
            return None
        text = str(given)
        if text.startswith(ENVIRONMENT):
            name = text.removeprefix(ENVIRONMENT)
            text = self._environment.get(name, "")
            if not text:
                raise LeftOut(f"its address is in {name}, which is not set here; set it and convert again")
        if not text.startswith(("http://", "https://")):
            raise LeftOut("its api_base is no address that begins with http:// or https://")
        return text.rstrip("/")

    def _upstream(self, where: str, provider: str, server: Server, params: Mapping[str, Any]) -> str:
        """The name of the upstream for a deployment, which others of the same address, key and terms share."""
        wanted: dict[str, Any] = {"kind": server.kind}
        if server.base_url is not None:
            wanted["base_url"] = server.base_url
        if (variable := self._key(where, provider, server, params.get("api_key"))) is not None:
            wanted["api_key_env"] = variable
        if server.provider is not None:
            wanted["provider"] = server.provider
        if headers := self._headers(where, params):
            wanted["headers"] = headers
        for source, ours in (("timeout", "first_byte_s"), ("stream_timeout", "idle_s")):
            if isinstance(value := params.get(source), int | float) and value > 0:
                wanted[ours] = value
        retries = params.get("max_retries", params.get("num_retries", self._retries))
        if isinstance(retries, int):
            wanted["retries"] = max(0, min(retries, 5))
        if isinstance(calls := params.get("max_parallel_requests"), int) and calls > 0:
            wanted["connections"] = calls
        for name, known in self._made.upstreams.items():
            if known == wanted:
                return name
        name = _free(_NOT_WORD.sub("-", provider.lower()).strip("-"), self._made.upstreams)
        self._made.upstreams[name] = wanted
        return name

    def _key(self, where: str, provider: str, server: Server, given: object) -> str | None:
        """The variable that holds the key; a key that stands in the file is not taken over."""
        if given in (None, ""):
            variable = None if server.base_url and server.provider is None else variable_of(provider)
        elif (variable := _variable(given)) is None:
            if str(given).lower() in {"none", "null", "anything", "fake-key", "fake_key", "not-needed"}:
                return None
            variable = variable_of(provider) or f"{_NOT_WORD.sub('_', provider.lower()).upper()}_API_KEY"
            self._made.remark(where, f"its key stands in the file; put it into {variable}, it is not copied")
        if variable is not None:
            self._made.variables[variable] = provider
        return variable

    def _headers(self, where: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers: dict[str, str] = {}
        for source in ("extra_headers", "headers"):
            given = params.get(source)
            for name, value in (given if isinstance(given, dict) else {}).items():
                if _SECRET_HEADER.search(str(name)) or str(value).startswith(ENVIRONMENT):
                    self._made.remark(f"{where}.{source}", f"header {name} may be secret, and is not copied")
                else:
                    headers[str(name)] = str(value)
        if isinstance(organization := params.get("organization"), str) and not organization.startswith(ENVIRONMENT):
            headers["OpenAI-Organization"] = organization
        elif params.get("organization"):
            self._made.remark(f"{where}.organization", "several, or one of the environment; an upstream has one header")
        return headers

    def _facts(self, where: str, params: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
        """Price and limits of a model."""
        found: dict[str, Any] = {}
        price = {
            ours: per_mtok
            for theirs, ours in _PRICES.items()
            if (per_mtok := _per_mtok(params.get(theirs, info.get(theirs)))) is not None
        }
        if {"input_per_mtok", "output_per_mtok"} <= price.keys():
            found["price"] = price
        elif price:
            self._made.remark(where, "a price has both input_cost_per_token and output_cost_per_token")
        for source, ours in (("max_input_tokens", "context_tokens"), ("max_output_tokens", "max_output_tokens")):
            if isinstance(value := info.get(source), int) and value > 0:
                found[ours] = value
        return found

    def _leftovers(self, where: str, params: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        for name in params:
            if name not in _HANDLED:
                self._made.remark(f"{where}.litellm_params.{name}", _REASONS.get(name, _CLIENTS))
        if "base_model" in info:
            why = "prices go by the name that the provider is asked for; write price if that has none"
            self._made.remark(f"{where}.model_info.base_model", why)
        if "access_groups" in info:
            self._made.remark(f"{where}.model_info.access_groups", "who may use a model is said by a key's --model")


def _add_aliases(document: Mapping[str, Any], made: Conversion) -> None:
    router = document.get("router_settings")
    aliases = router.get("model_group_alias") if isinstance(router, dict) else None
    for alias, target in (aliases if isinstance(aliases, dict) else {}).items():
        group = target.get("model") if isinstance(target, dict) else target
        if group not in made.models:
            made.remark("router_settings.model_group_alias", f"{alias}: its model did not map")
        elif alias not in made.models:
            known = made.models[str(group)]
            made.models[str(alias)] = {"name": str(group), **known}


def _variable(value: object) -> str | None:
    text = str(value or "")
    return text.removeprefix(ENVIRONMENT) if text.startswith(ENVIRONMENT) else None


def _per_mtok(value: object) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value)) * _MILLION
    except InvalidOperation:
        return None
    return float(amount) if amount.is_finite() and amount >= 0 else None


def _free(name: str, taken: Mapping[str, object]) -> str:
    return next(each for each in _numbered(name) if each not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name}-{number}"
