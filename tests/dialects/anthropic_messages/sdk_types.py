"""The installed anthropic package's own types as judges of what we render."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter

_EVENT = TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)
_REQUEST = TypeAdapter[Any](MessageCreateParamsNonStreaming)
_STREAMED_REQUEST = TypeAdapter[Any](MessageCreateParamsStreaming)


def check_event(body: dict[str, Any]) -> None:
    """Raise pydantic's ValidationError unless ``body`` is a stream event."""
    _EVENT.validate_python(_encodable(body))


def check_message(body: dict[str, Any]) -> None:
    """Raise pydantic's ValidationError unless ``body`` is a message."""
    Message.model_validate(_encodable(body))


def check_request(body: dict[str, Any]) -> None:
    """Raise pydantic's ValidationError unless ``body`` is a request."""
    adapter = _STREAMED_REQUEST if body.get("stream") else _REQUEST
    _exhaust(adapter.validate_python(_encodable(body)))


def _encodable(value: Any) -> Any:
    """``value`` with lone surrogates replaced: they are legal JSON, and pydantic refuses them."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_encodable(key): _encodable(inner) for key, inner in value.items()}
        case list():
            return [_encodable(inner) for inner in value]
        case _:
            return value


def _exhaust(value: Any) -> None:
    """Walk the value to its leaves, because pydantic checks an Iterable only as it is walked."""
    match value:
        case dict():
            for inner in value.values():
                _exhaust(inner)
        case list() | tuple() | Iterator():
            for inner in value:
                _exhaust(inner)
        case _:
            pass
