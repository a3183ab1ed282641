"""A client's Responses request, read into a neutral conversation.

What lives at the server that stored it (``previous_response_id``, ``conversation``, ``prompt``,
background runs) cannot be translated and is refused with the way out. Members that no neutral
value holds are kept under their paths in ``extras``; renderers of other dialects name them as
dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.openai_responses.fields import Fields, request_fault
from gateway.dialects.openai_responses.items import read_input
from gateway.dialects.openai_responses.tools import read_tools
from gateway.domain.chat import (
    Conversation,
    Dialect,
    OutputFormat,
    OutputKind,
    Role,
    Sampling,
    Text,
    ThinkingWish,
    Turn,
)
from gateway.errors import InvalidRequest

_SEND_WHOLE = "send the whole conversation as `input`"
_SERVER_STATE = {
    "previous_response_id": _SEND_WHOLE,
    "conversation": _SEND_WHOLE,
    "prompt": "send its text as `instructions` and `input`",
    "background": "leave it out, and stream if the answer takes long",
}
_COVERED = frozenset(
    {
        *_SERVER_STATE,
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "max_output_tokens",
        "temperature",
        "top_p",
        "service_tier",
        "stream",
        "safety_identifier",
        "user",
        "store",
        "ponder",
    }
)
_REASONING = frozenset({"effort", "summary", "generate_summary"})
_TEXT = frozenset({"format", "verbosity"})
_FORMAT = frozenset({"type", "name", "description", "schema", "strict"})


def read_request(body: Mapping[str, Any]) -> Conversation:
    """The conversation that ``body`` asks for; raises :class:`InvalidRequest` with the path of a fault."""
    fields = Fields(body, "", request_fault)
    _refuse_server_state(fields)
    extras: dict[str, Any] = {key: value for key, value in body.items() if key not in _COVERED and value is not None}
    turns = (*_read_instructions(fields), *read_input(fields, extras))
    tools, tool_choice = read_tools(fields, extras)
    output_format, verbosity = _read_text_settings(fields, extras)
    thinking = _read_thinking(fields, extras)
    end_user = _read_end_user(fields, extras)
    if fields.flag("store"):
        # A translated answer is never stored, so `store: false` is met; only a wish to store is not.
        extras["store"] = True
    return Conversation(
        model=fields.word("model"),
        turns=turns,
        tools=tools,
        tool_choice=tool_choice,
        output_format=output_format,
        max_output_tokens=fields.whole("max_output_tokens", least=1),
        sampling=Sampling(temperature=fields.number("temperature"), top_p=fields.number("top_p")),
        thinking=thinking,
        stream=fields.flag("stream") or False,
        end_user=end_user,
        service_tier=fields.optional_text("service_tier"),
        verbosity=verbosity,
        extras={Dialect.OPENAI_RESPONSES.value: extras} if extras else {},
    )


def _refuse_server_state(body: Fields) -> None:
    for key, way_out in _SERVER_STATE.items():
        if body.body.get(key) not in (None, False):
            raise InvalidRequest(
                f"`{key}` refers to state kept at OpenAI's servers, which a model elsewhere cannot read; {way_out}",
                param=key,
            )


def _read_instructions(body: Fields) -> tuple[Turn, ...]:
    instructions = body.optional_text("instructions")
    return () if instructions is None else (Turn(Role.SYSTEM, (Text(instructions),)),)


def _read_thinking(body: Fields, extras: dict[str, Any]) -> ThinkingWish:
    reasoning = body.inner("reasoning")
    if reasoning is None:
        return ThinkingWish()
    extras.update(reasoning.leftovers(_REASONING))
    # `generate_summary` is the deprecated name of `summary`.
    display = reasoning.optional_text("summary") or reasoning.optional_text("generate_summary")
    return ThinkingWish(effort=reasoning.optional_text("effort"), display=display)


def _read_text_settings(body: Fields, extras: dict[str, Any]) -> tuple[OutputFormat, str | None]:
    text = body.inner("text")
    if text is None:
        return OutputFormat(), None
    extras.update(text.leftovers(_TEXT))
    return _read_format(text, extras), text.optional_text("verbosity")


def _read_format(text: Fields, extras: dict[str, Any]) -> OutputFormat:
    wanted = text.inner("format")
    if wanted is None:
        return OutputFormat()
    extras.update(wanted.leftovers(_FORMAT))
    match wanted.optional_text("type"):
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat(OutputKind.JSON)
        case "json_schema":
            schema = wanted.mapping("schema")
            if schema is None:
                raise wanted.wrong("schema", "a JSON Schema object")
            return OutputFormat(
                OutputKind.SCHEMA,
                name=wanted.word("name"),
                description=wanted.optional_text("description"),
                schema=schema,
                strict=wanted.flag("strict"),
            )
        case _:
            raise wanted.wrong("type", '"text", "json_object" or "json_schema"')


def _read_end_user(body: Fields, extras: dict[str, Any]) -> str | None:
    """``safety_identifier`` is the successor of ``user``; a differing ``user`` is kept beside it."""
    user = body.optional_text("user")
    identifier = body.optional_text("safety_identifier")
    if identifier is not None and user is not None and user != identifier:
        extras["user"] = user
    return user if identifier is None else identifier
