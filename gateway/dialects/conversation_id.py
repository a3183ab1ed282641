"""Which ask an ask continues, told by the turns that both have: no client sends an id.

The identity of an ask is a digest of the key and of its turns: how they begin, how many they are, and the last of
them. An ask that goes on with a conversation repeats the turns of the one before; without the answer and what was
said since, it has that one's identity. So examples that an application puts before every ask make no conversation of
them. However a client writes its text (one string or parts) or moves its cache marks, whatever was answered, the
identity is the same. Where a provider keeps the conversation, its own id is digested instead.

Bodies are looked at as they came, before anybody has checked them: whatever is odd is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

from gateway.domain.chat import Dialect
from gateway.domain.sticky import Standing

UNTOLD: Final = Standing(None, None, is_tool_turn=False)

_SIZE = 16
_WHOLE = 4096
"""Longer texts count by their two ends and their length: a system prompt can be a book."""
_END = _WHOLE // 2
_MOST_PARTS = 64
_LAST = 4
"""So many turns at the end tell asks apart that begin alike and are as long."""
_MEDIA = ("image_url", "source", "input_audio", "file", "file_data", "file_url", "file_id")
_MEDIA_INNER = ("url", "data", "file_data", "file_id")
_MEDIA_END = 128
_TOOL_RESULTS = ("_output", "_approval_response")
"""How the types of all items end that bring what a tool returned, or leave to run one (Responses)."""


def standing(dialect: Dialect, key_id: str, body: Mapping[str, Any]) -> Standing:
    """Where an ask stands in its conversation. Never raises, whatever the body holds."""
    if dialect is Dialect.OPENAI_RESPONSES:
        return _of_responses(key_id, body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return UNTOLD
    system = body.get("system") if dialect is Dialect.ANTHROPIC_MESSAGES else None
    return _of_turns(key_id, system, messages)


def after_answer(key_id: str, answer_id: str) -> bytes:
    """The conversation that an ask continues by naming a stored answer (``previous_response_id``)."""
    return _named(key_id, "answer", answer_id)


def _of_responses(key_id: str, body: Mapping[str, Any]) -> Standing:
    items = body.get("input")
    is_tool_turn = isinstance(items, list) and bool(items) and _ends_with_tool_results(items)
    kept = body.get("conversation")
    if isinstance(kept, Mapping):
        kept = kept.get("id")
    if isinstance(kept, str):
        named = _named(key_id, "conversation", kept)
        return Standing(named, named, is_tool_turn=is_tool_turn)
    previous = body.get("previous_response_id")
    if isinstance(previous, str):
        before = after_answer(key_id, previous)
        return Standing(before, before, is_tool_turn=is_tool_turn)
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        return UNTOLD
    return _of_turns(key_id, body.get("instructions"), items)


def _of_turns(key_id: str, system: object, turns: list[Any]) -> Standing:
    opening = _opening(turns)
    if not opening:
        return UNTOLD
    said = _before_answers(turns, len(turns), opening)
    before = _answered(turns, len(turns), opening)
    return Standing(
        _digested(key_id, system, turns, opening, said),
        None if before is None else _digested(key_id, system, turns, opening, before),
        is_tool_turn=_ends_with_tool_results(turns),
    )


def _opening(turns: list[Any]) -> int:
    """How many turns there are up to the first one of a user; 0 where no user speaks."""
    for number, turn in enumerate(islice(turns, _MOST_PARTS), 1):
        if isinstance(turn, dict) and turn.get("role") == "user":
            return number
    return 0


def _before_answers(turns: list[Any], end: int, opening: int) -> int:
    """Where the answers begin that stand right before a place: the first turns up to there are what was asked."""
    while end > opening and _is_answer(turns[end - 1]):
        end -= 1
    return end


def _answered(turns: list[Any], end: int, opening: int) -> int | None:
    """How many of the first turns the ask before had; None where nothing has been answered."""
    while end > opening and not _is_answer(turns[end - 1]):
        end -= 1
    return _before_answers(turns, end, opening) if end > opening else None


def _digested(key_id: str, system: object, turns: list[Any], opening: int, end: int) -> bytes:
    """The identity of the ask that had the first turns, up to ``end``."""
    digest = _Digest(key_id)
    digest.content(system)
    digest.text(str(end))
    for turn in (*turns[:opening], *turns[max(opening, end - _LAST) : end]):
        if isinstance(turn, dict):
            digest.content(turn.get("content"))
            digest.content(turn.get("output"))
    return digest.result()


def _is_answer(turn: object) -> bool:
    """Whether a model wrote this: an assistant's message, or an item without a role that no tool returned."""
    if not isinstance(turn, dict):
        return False
    role = turn.get("role")
    return role == "assistant" if role is not None else not _is_tool_result(turn)


def _ends_with_tool_results(turns: list[Any]) -> bool:
    """Whether tools returned something since the model last spoke, whatever a client put beside it.

    A turn that Anthropic paused in the middle of its own tools counts as well: it ends with their call.
    """
    if _is_paused(turns[-1]):
        return True
    for turn in reversed(turns):
        if _is_tool_result(turn):
            return True
        if _is_answer(turn):
            return False
    return False


def _is_tool_result(turn: object) -> bool:
    if not isinstance(turn, dict):
        return False
    if turn.get("role") in ("tool", "function"):
        return True
    kind = turn.get("type")
    if isinstance(kind, str) and kind.endswith(_TOOL_RESULTS):
        return True
    content = turn.get("content")
    return turn.get("role") == "user" and isinstance(content, list) and any(map(_is_result_block, content))


def _is_paused(turn: object) -> bool:
    content = turn.get("content") if isinstance(turn, dict) and turn.get("role") == "assistant" else None
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "server_tool_use" for block in content
    )


def _is_result_block(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _named(key_id: str, kind: str, name: str) -> bytes:
    digest = _Digest(key_id)
    digest.text(kind)
    digest.text(name)
    return digest.result()


class _Digest:
    """What an opening says, in so many bytes."""

    __slots__ = ("_pieces",)

    def __init__(self, key_id: str) -> None:
        self._pieces = [key_id]

    def text(self, text: str) -> None:
        """Add a text, of a long one its ends and its length."""
        self._pieces.append(text if len(text) <= _WHOLE else f"{len(text)} {text[:_END]}{text[-_END:]}")

    def content(self, content: object) -> None:
        """Add a turn's content: a text alone and one in a part are the same."""
        if isinstance(content, str):
            self.text(content)
        elif isinstance(content, list):
            for part in islice(content, _MOST_PARTS):
                for text in _texts(part):
                    self.text(text)
        self._pieces.append("")

    def result(self) -> bytes:
        """The identity."""
        said = "\0".join(self._pieces).encode("utf-8", "surrogatepass")
        return blake2b(said, digest_size=_SIZE).digest()


def _texts(part: object) -> Iterator[str]:
    """What tells a part from others: its text; or the length and the end of its data, which mostly begin alike."""
    if isinstance(part, str):
        yield part
    if not isinstance(part, dict):
        return
    text = part.get("text")
    if isinstance(text, str):
        yield text
        return
    for name in _MEDIA:
        data = part.get(name)
        if isinstance(data, dict):
            data = next((data[inner] for inner in _MEDIA_INNER if inner in data), None)
        if isinstance(data, str):
            yield f"{len(data)} {data[-_MEDIA_END:]}"
