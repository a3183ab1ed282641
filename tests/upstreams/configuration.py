"""The ``ponder.yaml`` of the end-to-end tests: every stand-in provider, and one upstream per fault."""

from __future__ import annotations

from typing import Any

from tests.upstreams import anthropic_server, openai_server
from tests.upstreams.faults import FAULTS
from tests.upstreams.faulty_server import FaultyServer, closed_port

SECRETS = {
    "LOOPBACK_OPENAI": openai_server.KEY,
    "LOOPBACK_ANTHROPIC": anthropic_server.KEY,
    "LOOPBACK_WRONG": "sk-loopback-wrong",
}
BODY_LIMIT = 1024 * 1024
PRICE = {"input_per_mtok": 1, "cached_input_per_mtok": 0.5, "output_per_mtok": 2}
FIRST_BYTE_S = {"hang-before-headers": 0.3}
IDLE_S = {"hang-after-headers": 0.5, "stall": 0.5}
PATIENT_S = 15
"""Faults that only a timeout ends have a short one, of the one kind that must end them; the rest a long one."""
RETRIED = ("rate-limited-once", "failing-once")
REFUSED = "refused"
"""The fault that needs no server: nothing listens."""


def providers(openai: str, anthropic: str, compatible: str) -> dict[str, Any]:
    """A configuration in front of three providers, given their addresses."""
    strict = {"kind": "openai", "base_url": f"{openai}/v1", "api_key_env": "LOOPBACK_OPENAI", "provider": "openai"}
    return {
        "upstreams": {
            "openai": {**strict, "dialects": ["openai-chat", "openai-responses"]},
            "openai-responses": {**strict, "dialects": ["openai-responses"]},
            "openai-wrong-key": {**strict, "api_key_env": "LOOPBACK_WRONG"},
            "anthropic": {"kind": "anthropic", "base_url": anthropic, "api_key_env": "LOOPBACK_ANTHROPIC"},
            "compatible": {
                "kind": "openai",
                "base_url": f"{compatible}/v1",
                "api_key_env": "LOOPBACK_OPENAI",
                "dialects": ["openai-chat"],
            },
        },
        "models": {
            "gpt-4.1-mini": {"upstream": "openai"},
            "gpt-5.4": {"upstream": "openai"},
            "text-embedding-3-small": {"upstream": "openai"},
            "alias": {"upstream": "openai", "name": "gpt-4.1-mini"},
            "nowhere": {"upstream": "openai", "name": "gpt-9", "price": "free"},
            "locked": {"upstream": "openai-wrong-key", "name": "gpt-4.1-mini"},
            "responder": {"upstream": "openai-responses", "name": "gpt-5.4"},
            "claude-haiku-4-5": {"upstream": "anthropic"},
            "claude-sonnet-4-6": {"upstream": "anthropic"},
            "claude-opus-4-8": {"upstream": "anthropic"},
            "qwen3-8b": {"upstream": "compatible", "price": PRICE},
            "unpriced": {"upstream": "compatible", "name": "qwen3-8b"},
        },
        "limits": {"body_bytes": BODY_LIMIT},
    }


def one_model(address: str, *, name: str = "m", key_env: str | None = None, **sections: Any) -> dict[str, Any]:
    """A configuration with one priced model at one chat upstream, and more ``sections``."""
    upstream = {"kind": "openai", "base_url": f"{address}/v1", "dialects": ["openai-chat"], "api_key_env": key_env}
    return {
        "upstreams": {"only": upstream},
        "models": {name: {"upstream": "only", "name": "m" if key_env is None else "qwen3-8b", "price": PRICE}},
        **sections,
    }


def faulty(server: FaultyServer) -> dict[str, Any]:
    """A configuration with one upstream per fault and kind; models are named ``chat/FAULT`` and ``messages/FAULT``."""
    upstreams: dict[str, Any] = {}
    models: dict[str, Any] = {}
    refused = f"http://127.0.0.1:{closed_port()}"
    for fault in (*FAULTS, REFUSED):
        address = refused if fault == REFUSED else server.address(fault)
        terms = {
            "first_byte_s": FIRST_BYTE_S.get(fault, PATIENT_S),
            "idle_s": IDLE_S.get(fault, PATIENT_S),
            "retries": 1 if fault in RETRIED else 0,
        }
        upstreams[f"chat-{fault}"] = {"kind": "openai", "base_url": f"{address}/v1", **terms}
        upstreams[f"messages-{fault}"] = {"kind": "anthropic", "base_url": address, **terms}
        for kind in ("chat", "messages"):
            models[f"{kind}/{fault}"] = {"upstream": f"{kind}-{fault}", "name": "m", "price": PRICE}
    return {"upstreams": upstreams, "models": models, "limits": {"deadline_s": 20}}
