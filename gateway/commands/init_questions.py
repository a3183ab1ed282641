"""The three questions of ``ponder init``, and the configuration that their answers make."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway.commands.init_template import template
from gateway.errors import ConfigurationError
from gateway.wiring import HOSTED

_PROVIDERS: Final = ("anthropic", "openai", "gemini", "mistral", "deepseek", "xai")
"""Those whose models the shipped policies name."""
_VARIABLES: Final = {provider.name: variable for variable, provider in HOSTED.items()}
POLICIES: Final = {
    "default": "short answers to what is simple, thinking for what can be checked",
    "thrift": "the least cost at a floor of quality",
    "careful": "quality first, under a cap",
}
_SERVER: Final = re.compile(r"(https?://\S+)\s+(\S+)")

MODELS_QUESTION: Final = (
    f"Whose models? Providers ({', '.join(_PROVIDERS)}), or a server of your own as ADDRESS MODEL "
    "(http://127.0.0.1:8080/v1 Qwen/Qwen3-8B); several with commas; nothing for a small local model"
)
POLICY_QUESTION: Final = "Who decides for `model: auto`? " + "; ".join(f"{k}: {v}" for k, v in POLICIES.items())
TEXTS_QUESTION: Final = "For how many days are the texts of requests and answers kept? 0 keeps none"


class Answers(BaseModel):
    """The answers: providers or servers, a policy, and days that texts are kept; 0 keeps none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ()
    policy: str = "default"
    keep_text_days: int = Field(default=0, ge=0, le=36_500)

    @field_validator("models")
    @classmethod
    def _can_be_called(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for each in models:
            if each not in _PROVIDERS and not _SERVER.fullmatch(each):
                raise ValueError(f"takes {', '.join(_PROVIDERS)}, or an address and a model with a blank between")
        return models

    @field_validator("policy")
    @classmethod
    def _is_shipped(cls, policy: str) -> str:
        if policy not in POLICIES:
            raise ValueError(f"takes {', '.join(POLICIES)}")
        return policy


def ask(prompt: Callable[[str, str], str]) -> Answers:
    """Put the questions, again where an answer is refused. ``prompt`` takes a question and what nothing means."""

    def once(question: str, default: str, name: str, read: Callable[[str], Any]) -> Any:
        note = ""
        while True:
            text = prompt(f"{note}{question}", default).strip()
            try:
                return getattr(Answers.model_validate({name: read(text)}), name)
            except (ValidationError, ValueError) as fault:
                note = f"{_reason(fault)}.\n"

    return Answers(
        models=once(MODELS_QUESTION, "", "models", listed),
        policy=once(POLICY_QUESTION, "default", "policy", str),
        keep_text_days=once(TEXTS_QUESTION, "0", "keep_text_days", int),
    )


def read_answers(document: object) -> Answers:
    """The answers of a file. Raises ConfigurationError naming the one at fault."""
    try:
        return Answers.model_validate({} if document is None else document)
    except ValidationError as fault:
        where = ".".join(map(str, fault.errors()[0]["loc"])) or "the file"
        names = ", ".join(Answers.model_fields)
        raise ConfigurationError(f"answers: {where}: {_reason(fault)}; the answers are {names}") from fault


def listed(text: str) -> Sequence[str]:
    """Several answers in one line."""
    return [each.strip() for each in text.split(",") if each.strip()]


def configuration(answers: Answers) -> str:
    """The ponder.yaml that the answers make: what they say written out, the rest as comments."""
    upstreams: dict[str, Any] = {}
    models: dict[str, Any] = {}
    hosted = [each for each in answers.models if each in _PROVIDERS]
    for server in filter(None, map(_SERVER.fullmatch, answers.models)):
        suffix = f"-{len(upstreams) + 1}" if upstreams else ""
        upstreams[f"own{suffix}"] = {"kind": "openai", "base_url": server[1].rstrip("/")}
        models[f"local{suffix}"] = {"upstream": f"own{suffix}", "name": server[2], "price": "free"}
    sections = {
        "policy": f"# Who decides for `model: auto`: {POLICIES[answers.policy]}.\n"
        f"# Policies of your own lie in a folder beside this file.\npolicy: {answers.policy}\n#policies_dir: policies"
    }
    lines = ["# Servers that Ponder calls."]
    lines += [f"# {each}: all its models are there by {_VARIABLES[each]} in the environment." for each in hosted]
    if not answers.models:
        lines.append("# With none, and no provider's key in the environment, `ponder up` runs a small local model.")
    if upstreams:
        lines.append("# Is one of your own a vLLM? With kind: vllm, searches go by steps.")
        lines.append(_block("upstreams", upstreams))
        sections["models"] = (
            "# Names that callers may ask for. The shipped policies know `local`. A server of your own is free until\n"
            "# you price it by the hour: price: {gpu_hour_usd: 2.10, output_tokens_per_s: 2400}, as you measured.\n"
            + _block("models", models)
        )
    sections["upstreams"] = "\n".join(lines)
    keeps = answers.keep_text_days > 0
    retention = {"requests_days": 90, "store_text": keeps, "text_days": answers.keep_text_days or 7}
    sections["retention"] = f"# How long requests are kept, and their texts.\n{_block('retention', retention)}"
    return template(sections)


def missing_variables(answers: Answers, environment: Mapping[str, str]) -> list[str]:
    """The variables with providers' keys that the answers need and that are not set."""
    return [_VARIABLES[each] for each in answers.models if each in _PROVIDERS and not environment.get(_VARIABLES[each])]


def _block(name: str, value: Any) -> str:
    return yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True).rstrip("\n")


def _reason(fault: ValidationError | ValueError) -> str:
    if isinstance(fault, ValidationError):
        return str(fault.errors()[0]["msg"]).removeprefix("Value error, ")
    return "That must be a whole number"
