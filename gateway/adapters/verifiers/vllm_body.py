"""What all calls to vLLM's own endpoints have in common."""

from __future__ import annotations

from typing import Any

from gateway.adapters.verifiers.calls import Calls


def vllm_body(calls: Calls, salt: str, **fields: Any) -> dict[str, Any]:
    """A body with the model's name and, where the server is vLLM, the salt that keeps tenants' caches apart."""
    salted = {"cache_salt": salt} if salt and calls.terms.is_vllm else {}
    return {"model": calls.model.upstream_name, **fields, **salted}
