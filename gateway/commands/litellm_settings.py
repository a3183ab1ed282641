"""LiteLLM's settings beside its models: what of them is configuration here, a command, a variable, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

_CALLBACKS: Final = {
    "prometheus": "metrics are at /metrics, always",
    "otel": "telemetry.otlp_endpoint sends spans and measures: docs, 'Observe'",
    "arize": "telemetry.otlp_endpoint sends spans and measures: docs, 'Observe'",
}
_NO_CALLBACK: Final = "there are no callbacks; spans go by OpenTelemetry, requests are in the database"
_LITELLM: Final = {
    "drop_params": "fields that a model does not take are dropped where that is safe, and named in x-ponder-degraded",
    "modify_params": "what is changed on the way is named in x-ponder-degraded",
    "set_verbose": "logs are JSON, one line per request",
    "json_logs": "logs are JSON",
    "cache": "answers are not cached; providers' own prompt caches are, and are priced",
    "cache_params": "answers are not cached; providers' own prompt caches are, and are priced",
    "allowed_fails": "policies avoid models that fail by themselves",
    "cooldown_time": "policies avoid models that fail by themselves",
    "turn_off_message_logging": "texts are kept only with retention.store_text",
    "redact_messages_in_exceptions": "no message of ours quotes a prompt",
    "context_window_fallbacks": "an arm whose model cannot hold the prompt is left out of a decision by itself",
    "content_policy_fallbacks": "a refusal by a provider is the client's to see; it is not tried elsewhere",
}
_GENERAL: Final = {
    "master_key": "the admin key is PONDER_ADMIN_KEY, or made at the first start in admin.key",
    "salt_key": "stored keys are encrypted under PONDER_ENCRYPTION_KEY, or encryption.key",
    "database_url": "the database's address is PONDER_DATABASE_URL; LiteLLM's tables and keys are not taken over",
    "store_model_in_db": "models are in ponder.yaml, which is read again when it changes",
    "alerting": "webhooks are told of budgets; other alerts are Prometheus'",
    "proxy_batch_write_at": "records are written in the background by themselves",
    "background_health_checks": "health is learned from traffic",
    "max_parallel_requests": "requests at once are a key's or a team's: --concurrency",
    "pass_through_endpoints": "only the endpoints of the three dialects are served",
}
_SECTIONS: Final = {
    "guardrails": "there are no guardrails",
    "mcp_servers": "MCP is not served",
    "vector_store_registry": "vector stores are not served",
    "search_tools": "search tools are not served",
    "include": "other files are not read; convert each, and join what is written",
}
_READ: Final = frozenset(
    {
        "model_list",
        "credential_list",
        "router_settings",
        "litellm_settings",
        "general_settings",
        "environment_variables",
    }
)
_LITELLM_READ: Final = frozenset(
    {"fallbacks", "default_fallbacks", "num_retries", "request_timeout", "max_budget", "budget_duration"}
)
_ROUTER_READ: Final = frozenset(
    {"fallbacks", "default_fallbacks", "num_retries", "model_group_alias", "timeout", "redis_host", "redis_port",
     "redis_password", "redis_url", "max_retries"}
)  # fmt: skip
_PERIODS: Final = {"1d": "day", "24h": "day", "daily": "day", "7d": "week", "1w": "week", "weekly": "week",
                   "30d": "month", "31d": "month", "1mo": "month", "monthly": "month"}  # fmt: skip
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+")


class Making(Protocol):
    """The part of a conversion that settings add to."""

    others: dict[str, Any]
    commands: list[str]
    variables: dict[str, str]

    def remark(self, where: str, why: str) -> None: ...


def retries_of(document: Mapping[str, Any]) -> int | None:
    """How often LiteLLM tries again, where the file says so."""
    for section in ("router_settings", "litellm_settings"):
        value = _section(document, section).get("num_retries")
        if isinstance(value, int):
            return value
    return None


def remarks_on_settings(document: Mapping[str, Any], made: Making) -> None:
    """Take over what has a place here, and say of the rest why it has none."""
    router, litellm = _section(document, "router_settings"), _section(document, "litellm_settings")
    general = _section(document, "general_settings")
    timeout = router.get("timeout", litellm.get("request_timeout"))
    if isinstance(timeout, int | float) and timeout > 0:
        made.others["limits"] = {"deadline_s": timeout}
    _redis(router, made)
    _budget("litellm_settings", litellm, made)
    for name in litellm.keys() - _LITELLM_READ:
        made.remark(f"litellm_settings.{name}", _on_litellm(name, litellm[name]))
    for name in router.keys() - _ROUTER_READ:
        made.remark(f"router_settings.{name}", _on_router(name))
    for name in general:
        made.remark(f"general_settings.{name}", _GENERAL.get(name, "it has no counterpart"))
    for name in _section(document, "environment_variables"):
        made.variables.setdefault(str(name), "environment_variables")
        made.remark(f"environment_variables.{name}", "the environment is set outside; its value is not copied")
    for name in document.keys() - _READ:
        made.remark(str(name), _SECTIONS.get(name, "it has no counterpart"))


def _on_litellm(name: str, value: object) -> str:
    if name.endswith(("callback", "callbacks")):
        listed = value if isinstance(value, list) else [value]
        return "; ".join(dict.fromkeys(_CALLBACKS.get(str(each), _NO_CALLBACK) for each in listed))
    return _LITELLM.get(name, "it has no counterpart")


def _on_router(name: str) -> str:
    if name == "routing_strategy":
        return "the first deployment is called, the others are fallbacks; a policy chooses between arms"
    if name == "provider_budget_config":
        return "budgets are those of keys and teams, not of providers"
    return _LITELLM.get(name, "it has no counterpart")


def _redis(router: Mapping[str, Any], made: Making) -> None:
    host, port = router.get("redis_host"), router.get("redis_port", 6379)
    if not host and not router.get("redis_url"):
        return
    if isinstance(host, str) and _HOST.fullmatch(host) and str(port).isdecimal() and "redis_password" not in router:
        made.others["redis"] = {"url": f"redis://{host}:{port}/0"}
        return
    made.remark("router_settings.redis_*", "set PONDER_REDIS_URL=redis://:PASSWORD@HOST:PORT/0, which holds a secret")


def _budget(where: str, settings: Mapping[str, Any], made: Making) -> None:
    """A budget of the whole proxy: here that of a team that every key belongs to."""
    amount, duration = settings.get("max_budget"), settings.get("budget_duration")
    if not isinstance(amount, int | float) or isinstance(amount, bool):
        return
    period = "total" if duration is None else _PERIODS.get(str(duration).strip().lower())
    if period is None:
        why = f"a period of {duration} has no counterpart; there are day, week, month and total"
        made.remark(f"{where}.budget_duration", why)
        return
    made.commands += ["ponder teams create everyone", f"ponder budgets set --team everyone {period} {amount}"]
    why = "a budget is a team's or a key's; the commands below make a team, whose keys you then issue"
    made.remark(f"{where}.max_budget", why)


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
