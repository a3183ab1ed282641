"""The order Anthropic demands of turns and blocks: roles, tool results, thinking and its signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.upstreams.anthropic_rules import Facts, RefusedError
from tests.upstreams.signing import is_sealed, is_signed

_THINKING = ("thinking", "redacted_thinking")
_USER_BLOCKS = ("text", "image", "document", "tool_result", "search_result", "container_upload")
_ASSISTANT_BLOCKS = ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use")
_IDENTIFIER_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def check_turns(body: Mapping[str, Any], facts: Facts) -> None:
    """Refuse turns that the service refuses; consecutive turns of one role are joined, as it does."""
    messages = body["messages"]
    if not messages:
        raise RefusedError("messages: at least one message is required")
    for index, message in enumerate(messages):
        _check_message(index, message, is_last=index == len(messages) - 1)
    _check_roles(messages, facts)
    _check_tool_pairs(messages)
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if thinks and messages[-1]["role"] == "assistant":
        raise RefusedError(
            f"messages.{len(messages) - 1}.content.0.type: Expected `thinking` or `redacted_thinking`, "
            "but found `text`. When `thinking` is enabled, a final `assistant` message must start with a thinking "
            "block."
        )
    if thinks:
        _check_tool_turn_thinks(messages)


def _check_message(index: int, message: Any, *, is_last: bool) -> None:
    where = f"messages.{index}"
    if not isinstance(message, dict):
        raise RefusedError(f"{where}: Input should be a valid dictionary")
    role = message.get("role")
    if role not in ("user", "assistant", "system"):
        raise RefusedError(
            f"{where}.role: Input should be 'user', 'assistant' or 'system'"
            if role is not None
            else f"{where}.role: Field required"
        )
    for name in message:
        if name not in ("role", "content"):
            raise RefusedError(f"{where}.{name}: Extra inputs are not permitted")
    content = message.get("content")
    if content is None:
        raise RefusedError(f"{where}.content: Field required")
    if not content and not (role == "assistant" and is_last):
        raise RefusedError(
            f"{where}: user messages must have non-empty content"
            if role == "user"
            else f"{where}: all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content, list):
        for place, block in enumerate(content):
            _check_block(f"{where}.content.{place}", role, block)


def _check_block(where: str, role: str, block: Any) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    known = {"user": _USER_BLOCKS, "assistant": _ASSISTANT_BLOCKS, "system": ("text",)}[role]
    if kind not in known:
        listed = ", ".join(f"'{one}'" for one in known)
        raise RefusedError(
            f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {listed}"
        )
    if kind == "text":
        _check_text(where, block)
    elif kind == "thinking":
        if not is_signed(block.get("thinking") or "", block.get("signature")):
            raise RefusedError(f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "redacted_thinking":
        if not is_sealed(block.get("data")):
            raise RefusedError(f"{where}: Invalid `data` in `redacted_thinking` block")
    elif kind == "tool_use":
        _check_identifier(f"{where}.tool_use.id", block.get("id"))
        if not isinstance(block.get("input"), dict):
            raise RefusedError(f"{where}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result":
        _check_identifier(f"{where}.tool_result.tool_use_id", block.get("tool_use_id"))
        for place, part in enumerate(block["content"] if isinstance(block.get("content"), list) else ()):
            if part.get("type") == "text":
                _check_text(f"{where}.tool_result.content.{place}", part)


def _check_text(where: str, block: Mapping[str, Any]) -> None:
    if not isinstance(block.get("text"), str):
        raise RefusedError(f"{where}.text.text: Field required")
    if not block["text"]:
        raise RefusedError("messages: text content blocks must be non-empty")
    if not block["text"].strip():
        raise RefusedError("messages: text content blocks must contain non-whitespace text")


def _check_identifier(where: str, identifier: Any) -> None:
    if not isinstance(identifier, str):
        raise RefusedError(f"{where}: Field required")
    if not identifier or not _IDENTIFIER_CHARACTERS.issuperset(identifier):
        raise RefusedError(f"{where}: String should match pattern '^[a-zA-Z0-9_-]+$'")


def _check_roles(messages: Sequence[Mapping[str, Any]], facts: Facts) -> None:
    for index, message in enumerate(messages):
        if message["role"] != "system":
            continue
        if not facts.takes_system_turns:
            raise RefusedError("role 'system' is not supported on this model")
        if index == 0 or messages[index - 1]["role"] != "user":
            raise RefusedError(f"messages.{index}: role 'system' must follow a user message")
    if messages[0]["role"] != "user":
        raise RefusedError('messages: first message must use the "user" role')
    last = messages[-1]
    if last["role"] == "assistant":
        if not facts.takes_prefill:
            raise RefusedError(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        text = last["content"] if isinstance(last["content"], str) else last["content"][-1].get("text", "")
        if text != text.rstrip():
            raise RefusedError("messages: final assistant content cannot end with trailing whitespace")


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _joined(messages: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, list[Mapping[str, Any]]]]:
    """Index of the first message, role and blocks of each turn; neighbours of one role are one turn."""
    turns: list[tuple[int, str, list[Mapping[str, Any]]]] = []
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(_blocks(message))
        else:
            turns.append((index, message["role"], list(_blocks(message))))
    return turns


def _check_tool_pairs(messages: Sequence[Mapping[str, Any]]) -> None:
    asked: list[str] = []
    asked_at = 0
    for index, role, blocks in _joined(messages):
        if role == "assistant":
            asked = [str(block["id"]) for block in blocks if block["type"] == "tool_use"]
            asked_at = index
            continue
        results = [str(block["tool_use_id"]) for block in blocks if block["type"] == "tool_result"]
        for place, identifier in enumerate(results):
            if identifier not in asked:
                raise RefusedError(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{identifier}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                    "previous message."
                )
        if len(set(results)) != len(results):
            raise RefusedError(
                f"messages.{index}.content: each tool_use must have a single result. Found multiple `tool_result` "
                "blocks with one id"
            )
        leading = [block["type"] for block in blocks[: len(results)]]
        _check_all_answered(asked, asked_at, results if leading == ["tool_result"] * len(results) else [])
        asked = []
    _check_all_answered(asked, asked_at, [])


def _check_all_answered(asked: Sequence[str], asked_at: int, results: Sequence[str]) -> None:
    unanswered = [identifier for identifier in asked if identifier not in results]
    if unanswered:
        raise RefusedError(
            f"messages.{asked_at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(unanswered)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _check_tool_turn_thinks(messages: Sequence[Mapping[str, Any]]) -> None:
    """In an unfinished tool turn, the assistant's last message begins with its thinking."""
    turns = _joined(messages)
    if not any(block["type"] == "tool_result" for block in turns[-1][2]):
        return
    index, _, blocks = turns[-2]
    first = blocks[0]["type"]
    if first not in _THINKING:
        raise RefusedError(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks). To avoid this requirement, disable `thinking`."
        )
