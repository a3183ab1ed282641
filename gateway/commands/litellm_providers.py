"""LiteLLM's names for providers, as upstreams of ours: what is called how, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.wiring import HOSTED

_OPENAI: Final = "https://api.openai.com/v1"
_FAMILIES: Final = {
    "gpt": "openai", "chatgpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "text-embedding": "openai",
    "claude": "anthropic", "command": "cohere", "deepseek": "deepseek", "mistral": "mistral", "grok": "xai",
}  # fmt: skip
"""How names begin that LiteLLM takes without a provider's before them."""
_OPENAI_SERVERS: Final = {
    "openai": None,
    "custom_openai": None,
    "text-completion-openai": None,
    "openai_like": None,
    "openrouter": "https://openrouter.ai/api/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "cohere_chat": "https://api.cohere.ai/compatibility/v1",
    "ollama": "http://127.0.0.1:11434",
    "ollama_chat": "http://127.0.0.1:11434",
    "lm_studio": "http://127.0.0.1:1234/v1",
    "llamafile": "http://127.0.0.1:8080/v1",
    "xinference": "http://127.0.0.1:9997/v1",
}
"""Providers that speak OpenAI's API, with their own address where they have one."""
_NO_CHAT: Final = frozenset(
    {"replicate", "stability", "deepgram", "elevenlabs", "auto_router", "litellm_proxy", "petals", "custom"}
)
"""What has no upstream of ours: no chat models, or LiteLLM's own devices."""
_AMBIENT: Final = frozenset(
    {"bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat", "vertex_ai", "vertex_ai_beta"}
)
"""Providers whose credentials litellm finds in the environment, without a key."""
_VARIABLES: Final[Mapping[str, str]] = {
    **{provider.name: variable for variable, provider in [*HOSTED.items()][::-1]},
    "azure": "AZURE_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "cohere": "COHERE_API_KEY",
    "cohere_chat": "COHERE_API_KEY",
}


class LeftOut(Exception):
    """A model that cannot be called here, and why."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a provider is called: an upstream's kind, address and name in the price list."""

    kind: str
    base_url: str | None = None
    provider: str | None = None
    remarks: tuple[str, ...] = ()
    """What its operator should know."""


def split_model(model: str) -> tuple[str | None, str]:
    """LiteLLM's provider and the provider's own name of a model; None for one that LiteLLM itself could not tell."""
    head, slash, rest = model.partition("/")
    if slash and head.replace("_", "").replace("-", "").isalnum() and not head[:1].isupper():
        return head, rest
    family = next((provider for begins, provider in _FAMILIES.items() if model.startswith(begins)), None)
    return family, model


def server_of(provider: str, base_url: str | None) -> Server:
    """How a provider is called. Raises LeftOut where it cannot be."""
    if provider in _NO_CHAT:
        raise LeftOut(f"{provider} has no kind of upstream here")
    if provider == "anthropic":
        return Server("anthropic", None if base_url is None else base_url.removesuffix("/v1"))
    if provider in {"hosted_vllm", "vllm"}:
        return Server("vllm", _with_version(_needed(provider, base_url)))
    if provider == "azure":
        base_url = _needed(provider, base_url)
        root = base_url.rstrip("/").removesuffix("/openai/v1").removesuffix("/openai")
        remark = "api_version is not used: Azure's own v1 address is called, where the deployment is the model"
        return Server("openai", f"{root}/openai/v1", "azure", (remark,))
    if provider in _OPENAI_SERVERS:
        address = base_url or _OPENAI_SERVERS[provider]
        if address is None or address.rstrip("/") == _OPENAI:
            if provider not in {"openai", "text-completion-openai"}:
                raise LeftOut(f"{provider} needs its api_base")
            return Server("openai", None, "openai")
        if provider.startswith("ollama"):
            address = _with_version(address)
        return Server("openai", address.rstrip("/"), provider if provider == "openrouter" else None)
    remarks = ("its credentials are those of the environment, under litellm's names",) if provider in _AMBIENT else ()
    return Server("litellm", base_url, provider, remarks)


def variable_of(provider: str) -> str | None:
    """The variable in which LiteLLM looks for a provider's key where none is configured; None for none."""
    if provider in _AMBIENT or provider in _OPENAI_SERVERS.keys() - _VARIABLES.keys() or provider.endswith("vllm"):
        return None
    return _VARIABLES.get(provider, f"{provider.upper()}_API_KEY")


def is_hosted(provider: str, variable: str | None) -> bool:
    """Whether all models of a provider are there by themselves, by the key in this variable."""
    known: Mapping[str, str] = {name: hosted.name for name, hosted in HOSTED.items()}
    return variable is not None and known.get(variable) == provider


def _needed(provider: str, base_url: str | None) -> str:
    if base_url is None:
        raise LeftOut(f"{provider} needs its api_base")
    return base_url


def _with_version(address: str) -> str:
    address = address.rstrip("/")
    return address if address.endswith("/v1") else f"{address}/v1"
