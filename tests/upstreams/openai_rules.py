"""What OpenAI's API refuses, and in which words: the checks of /v1/chat/completions and /v1/embeddings.

Error bodies follow the service: ``message``, ``type``, ``param`` and ``code``, with its own
spelling ("preceeding" included).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from openai.types import chat as chat_types
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.embedding_create_params import EmbeddingCreateParams

CHAT_FIELDS = frozenset(CompletionCreateParamsBase.__annotations__) | {"stream"}
EMBEDDING_FIELDS = frozenset(EmbeddingCreateParams.__annotations__)
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
CHAT_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_TO_XHIGH = ("none", "low", "medium", "high", "xhigh")
MESSAGE_FIELDS: Mapping[str, frozenset[str]] = {
    "system": frozenset(chat_types.ChatCompletionSystemMessageParam.__annotations__),
    "developer": frozenset(chat_types.ChatCompletionDeveloperMessageParam.__annotations__),
    "user": frozenset(chat_types.ChatCompletionUserMessageParam.__annotations__),
    "assistant": frozenset(chat_types.ChatCompletionAssistantMessageParam.__annotations__) | {"annotations"},
    "tool": frozenset(chat_types.ChatCompletionToolMessageParam.__annotations__),
    "function": frozenset(chat_types.ChatCompletionFunctionMessageParam.__annotations__),
}
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
SAMPLING_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
USER_PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model of the catalogue is."""

    snapshot: str
    is_reasoning: bool = False
    is_embedding: bool = False
    efforts: tuple[str, ...] = CHAT_EFFORTS
    default_effort: str = "medium"
    chat_tools_at: tuple[str, ...] = CHAT_EFFORTS
    """The efforts at which Chat takes function tools."""


CATALOGUE: Mapping[str, Facts] = {
    "gpt-4.1-mini": Facts("gpt-4.1-mini-2025-04-14"),
    "gpt-5-mini": Facts("gpt-5-mini-2025-08-07", is_reasoning=True, efforts=("minimal", "low", "medium", "high")),
    "gpt-5.1": Facts(
        "gpt-5.1-2025-11-13", is_reasoning=True, efforts=("none", "low", "medium", "high"), default_effort="none"
    ),
    "gpt-5.4": Facts("gpt-5.4-2026-03-05", True, efforts=_TO_XHIGH, default_effort="none", chat_tools_at=("none",)),
    "gpt-5.6": Facts("gpt-5.6-sol", True, efforts=_TO_XHIGH, chat_tools_at=("none",)),
    "gpt-6-sol": Facts("gpt-6-sol", True, efforts=(*_TO_XHIGH, "max"), chat_tools_at=("none",)),
    "gpt-6-astra": Facts("gpt-6-astra", True, efforts=("low", "medium", "high", "xhigh", "max"), chat_tools_at=()),
    "o4-mini": Facts("o4-mini-2025-04-16", is_reasoning=True, efforts=("low", "medium", "high")),
    "text-embedding-3-small": Facts("text-embedding-3-small", is_embedding=True),
}


class RefusedError(Exception):
    """A request that the service refuses, with what its error body says."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status
        self.kind = kind

    @property
    def body(self) -> dict[str, Any]:
        """The error body as the service sends it."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def name_of(value: Any) -> str:
    """A JSON type in the words of the service's messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def missing(param: str) -> NoReturn:
    """Refuse for want of a parameter."""
    raise RefusedError(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, expected: str, value: Any) -> NoReturn:
    """Refuse a value of another type."""
    raise RefusedError(
        f"Invalid type for '{param}': expected {expected}, but got {name_of(value)} instead.", param, "invalid_type"
    )


def wrong_value(param: str, value: Any, supported: Sequence[str]) -> NoReturn:
    """Refuse a value outside the supported ones."""
    listed = ", ".join(f"'{one}'" for one in supported[:-1]) + f", and '{supported[-1]}'"
    raise RefusedError(f"Invalid value: '{value}'. Supported values are: {listed}.", param, "invalid_value")


def check_fields(body: Any, known: frozenset[str]) -> None:
    """Refuse a body that is no object, or that has fields the service does not know."""
    if not isinstance(body, dict):
        wrong_type("body", "an object", body)
    for name in body:
        if name not in known:
            raise RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def check_model(body: Mapping[str, Any]) -> Facts:
    """The model asked for; refuses as the Chat and Embeddings APIs do."""
    if "model" not in body:
        raise RefusedError("you must provide a model parameter")
    if not isinstance(body["model"], str):
        wrong_type("model", "a string", body["model"])
    if body["model"] not in CATALOGUE:
        raise RefusedError(
            f"The model `{body['model']}` does not exist or you do not have access to it.", None, "model_not_found", 404
        )
    return CATALOGUE[body["model"]]


def check_chat(body: Mapping[str, Any], facts: Facts) -> None:
    """Everything of a chat completion that does not depend on the account."""
    if facts.is_embedding:
        raise RefusedError(
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
            "Did you mean to use v1/completions?",
            "model",
            None,
            404,
        )
    messages = body.get("messages")
    if messages is None:
        missing("messages")
    if not isinstance(messages, list):
        wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise RefusedError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    for index, message in enumerate(messages):
        _check_message(f"messages[{index}]", message)
    _check_tool_order(messages)
    _check_numbers(body)
    _check_tools(body)
    if facts.is_reasoning:
        _check_reasoning(body, facts)
    elif body.get("reasoning_effort") is not None:
        raise RefusedError(
            "Unrecognized request argument supplied: reasoning_effort", "reasoning_effort", "unknown_parameter"
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise RefusedError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", None
        )


def check_message_fields(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse message fields that the service does not know; compatible servers take them."""
    for index, message in enumerate(messages):
        for name in message:
            if name not in MESSAGE_FIELDS[message["role"]]:
                where = f"messages[{index}].{name}"
                raise RefusedError(f"Unknown parameter: '{where}'.", where, "unknown_parameter")


def _check_message(where: str, message: Any) -> None:
    if not isinstance(message, dict):
        wrong_type(where, "an object", message)
    role = message.get("role")
    if role is None:
        missing(f"{where}.role")
    if role not in ROLES:
        wrong_value(f"{where}.role", role, ROLES)
    content = message.get("content")
    if role == "assistant":
        _check_assistant(where, message)
    elif content is None:
        raise RefusedError("Invalid value for 'content': expected a string, got null.", f"messages.{where[8:]}.content")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        missing(f"{where}.tool_call_id")
    if isinstance(content, list):
        _check_parts(where, content)
    elif content is not None and not isinstance(content, str):
        wrong_type(f"{where}.content", "one of a string or array of objects", content)


def _check_assistant(where: str, message: Mapping[str, Any]) -> None:
    calls = message.get("tool_calls")
    if calls is None:
        if message.get("content") is None and message.get("refusal") is None:
            missing(f"{where}.content")
        return
    if not isinstance(calls, list):
        wrong_type(f"{where}.tool_calls", "an array of objects", calls)
    if not calls:
        raise RefusedError(
            f"Invalid '{where}.tool_calls': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            f"{where}.tool_calls",
            "empty_array",
        )
    for index, call in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        for name in ("id", "type"):
            if name not in call:
                missing(f"{place}.{name}")
        arguments = call.get("function", {}).get("arguments")
        if not isinstance(arguments, str):
            wrong_type(f"{place}.function.arguments", "a string", arguments)


def _check_parts(where: str, parts: Sequence[Any]) -> None:
    for index, part in enumerate(parts):
        place = f"{where}.content[{index}]"
        if not isinstance(part, dict):
            wrong_type(place, "an object", part)
        kind = part.get("type")
        if kind is None:
            missing(f"{place}.type")
        if kind not in USER_PARTS:
            wrong_value(place + ".type", kind, USER_PARTS)
        if kind == "text" and not isinstance(part.get("text"), str):
            missing(f"{place}.text")
        if kind == "image_url" and not isinstance(part.get("image_url"), dict):
            wrong_type(f"{place}.image_url", "an object", part.get("image_url"))


def _check_tool_order(messages: Sequence[Mapping[str, Any]]) -> None:
    """Every tool message answers a call just before it, and every call is answered."""
    waiting: list[str] = []
    owner = 0
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'.",
                    f"messages.[{index}].role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        _check_answered(waiting, owner)
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        owner = index
    _check_answered(waiting, owner)


def _check_answered(waiting: Sequence[str], owner: int) -> None:
    if waiting:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            f"messages.[{owner}].role",
        )


def _check_numbers(body: Mapping[str, Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            wrong_type(name, "an integer", value)
        if value < 1:
            raise RefusedError(
                f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
                name,
                "integer_below_min_value",
            )
    temperature = body.get("temperature")
    if isinstance(temperature, (int, float)) and temperature > 2:
        raise RefusedError(
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, "
            f"but got {temperature} instead.",
            "temperature",
            "decimal_above_max_value",
        )
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise RefusedError(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if body.get("stream") is not None and not isinstance(body["stream"], bool):
        wrong_type("stream", "a boolean", body["stream"])


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                raise RefusedError(
                    f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name
                )
        return
    if not tools:
        raise RefusedError(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "tools",
            "empty_array",
        )
    for index, tool in enumerate(tools):
        if tool.get("type") not in ("function", "custom"):
            wrong_value(f"tools[{index}].type", tool.get("type"), ("function", "custom"))
        if tool["type"] == "function" and "name" not in tool.get("function", {}):
            missing(f"tools[{index}].function.name" if "function" in tool else f"tools[{index}].function")


def check_effort(effort: Any, facts: Facts, param: str) -> None:
    """Refuse an effort that the model has not."""
    if effort is not None and effort not in facts.efforts:
        listed = ", ".join(f"'{each}'" for each in facts.efforts[:-1]) + f", and '{facts.efforts[-1]}'"
        raise RefusedError(
            f"Unsupported value: '{param}' does not support '{effort}' with this model. "
            f"Supported values are: {listed}.",
            param,
            "unsupported_value",
        )


def _check_reasoning(body: Mapping[str, Any], facts: Facts) -> None:
    """Reasoning models take no ``max_tokens``, no ``max`` effort in Chat, and sample only at effort none."""
    if body.get("max_tokens") is not None:
        raise RefusedError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in CHAT_EFFORTS:
        wrong_value("reasoning_effort", effort, CHAT_EFFORTS)
    check_effort(effort, facts, "reasoning_effort")
    if body.get("tools") and (effort or facts.default_effort) not in facts.chat_tools_at:
        remedy = " or set reasoning_effort to 'none'" if "none" in facts.chat_tools_at else ""
        raise RefusedError(
            f"Function tools with reasoning_effort are not supported for {body['model']} in /v1/chat/completions. "
            f"To use function tools, use /v1/responses{remedy}.",
            "reasoning_effort",
        )
    if (effort or facts.default_effort) == "none":
        return
    for name in SAMPLING:
        if body.get(name) is not None and body[name] != SAMPLING_DEFAULTS[name]:
            raise RefusedError(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                f"Only the default ({SAMPLING_DEFAULTS[name]}) value is supported.",
                name,
                "unsupported_value",
            )


def check_embeddings(body: Mapping[str, Any], facts: Facts) -> list[Any]:
    """The inputs to embed."""
    if not facts.is_embedding:
        raise RefusedError("You are not allowed to generate embeddings from this model", None, None, 403)
    if "input" not in body:
        missing("input")
    given = body["input"]
    if not isinstance(given, (str, list)) or given in ("", []):
        raise RefusedError(
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
    if body.get("encoding_format") not in (None, "float", "base64"):
        wrong_value("encoding_format", body["encoding_format"], ("float", "base64"))
    if isinstance(given, str) or (isinstance(given[0], int)):
        return [given]
    return given
