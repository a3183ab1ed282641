"""Conversations told by their beginnings: the same for all their asks, another one for others, for any body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conversation_id import UNTOLD, after_answer, standing
from gateway.domain.chat import Dialect
from gateway.domain.sticky import Standing, share_point

CHAT, RESPONSES, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES
PIXEL = "iVBORw0KGgo" * 20

Body = dict[str, Any]


def _chat(*turns: Body, system: str | None = "Be brief.") -> Body:
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *turns]}


def _anthropic(*turns: Body, system: object = "Be brief.") -> Body:
    return {"system": system, "messages": list(turns)}


def _responses(*items: Body, instructions: str = "Be brief.") -> Body:
    return {"instructions": instructions, "input": list(items)}


def _user(content: object = "What is 2 + 2?") -> Body:
    return {"role": "user", "content": content}


def _assistant(content: object = "4") -> Body:
    return {"role": "assistant", "content": content}


OPENINGS: dict[Dialect, Callable[..., Body]] = {CHAT: _chat, ANTHROPIC: _anthropic, RESPONSES: _responses}


def _id(dialect: Dialect, body: Body, key_id: str = "key_1") -> bytes:
    found = standing(dialect, key_id, body).conversation
    assert found is not None
    return found


@pytest.mark.parametrize("dialect", OPENINGS)
def test_all_asks_of_a_conversation_agree(dialect: Dialect) -> None:
    """The second and third ask have the identity of the first, whatever was answered; only the first is an opening."""
    begin = OPENINGS[dialect]
    turns = [_user(), _assistant(), _user("And 3 + 3?"), _assistant("6"), _user("Why?")]
    asks = [begin(*turns[:length]) for length in (1, 3, 5)]
    assert len({_id(dialect, ask) for ask in asks}) == 1
    assert [standing(dialect, "key_1", ask).is_opening for ask in asks] == [True, False, False]
    assert len(_id(dialect, asks[0])) == 16


@pytest.mark.parametrize("dialect", OPENINGS)
def test_other_beginnings_are_other_conversations(dialect: Dialect) -> None:
    """Another key, another system text or another first turn makes another conversation."""
    begin = OPENINGS[dialect]
    system = {"instructions": "Be long."} if dialect is RESPONSES else {"system": "Be long."}
    identities = {
        _id(dialect, begin(_user())),
        _id(dialect, begin(_user()), key_id="key_2"),
        _id(dialect, begin(_user(), **system)),
        _id(dialect, begin(_user("What is 2 + 3?"))),
    }
    assert len(identities) == 4


@pytest.mark.parametrize("dialect", OPENINGS)
def test_the_form_of_a_text_does_not_matter(dialect: Dialect) -> None:
    """A text alone is the same as in a part, and cache marks may move."""
    begin = OPENINGS[dialect]
    kind = "input_text" if dialect is RESPONSES else "text"
    part = {"type": kind, "text": "What is 2 + 2?"}
    marked = {**part, "cache_control": {"type": "ephemeral"}}
    assert len({_id(dialect, begin(_user(content))) for content in ("What is 2 + 2?", [part], [marked])}) == 1


def test_a_system_text_may_be_in_blocks() -> None:
    """Anthropic's system text counts alike as a string and as blocks."""
    blocks = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert _id(ANTHROPIC, _anthropic(_user())) == _id(ANTHROPIC, _anthropic(_user(), system=blocks))


def test_an_input_may_be_a_string() -> None:
    """A Responses input that is only a text is the same conversation when it is sent as a turn later."""
    body = {"instructions": "Be brief.", "input": "What is 2 + 2?"}
    assert standing(RESPONSES, "key_1", body).is_opening
    assert _id(RESPONSES, body) == _id(RESPONSES, _responses(_user(), _assistant(), _user("Why?")))


def test_an_assistants_greeting_is_part_of_the_opening() -> None:
    """What stands before the first user's turn belongs to the opening, also where an assistant said it."""
    greeted = _chat(_assistant("Hello!"), _user())
    assert standing(CHAT, "key_1", greeted).is_opening
    assert _id(CHAT, greeted) != _id(CHAT, _chat(_user()))
    assert _id(CHAT, greeted) == _id(CHAT, _chat(_assistant("Hello!"), _user(), _assistant(), _user("Why?")))


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (CHAT, {"type": "image_url", "image_url": {"url": PIXEL}}, {"type": "image_url", "image_url": {"url": "x"}}),
        (RESPONSES, {"type": "input_image", "image_url": PIXEL}, {"type": "input_image", "image_url": PIXEL[1:]}),
        (RESPONSES, {"type": "input_file", "file_id": "file-1"}, {"type": "input_file", "file_id": "file-2"}),
        (
            ANTHROPIC,
            {"type": "image", "source": {"type": "base64", "data": f"{PIXEL}A"}},
            {"type": "image", "source": {"type": "base64", "data": f"{PIXEL}B"}},
        ),
    ],
)
def test_another_picture_is_another_conversation(dialect: Dialect, one: Body, other: Body) -> None:
    """What is sent beside the same words tells conversations apart."""
    begin, words = OPENINGS[dialect], {"type": "text", "text": "What is this?"}
    first, second, plain = (_id(dialect, begin(_user([words, *parts]))) for parts in ([one], [other], []))
    assert len({first, second, plain}) == 3


def test_long_texts_count_by_their_ends_and_length() -> None:
    """A change at either end or of the length of a long prompt is seen."""
    long = "a" * 10_000
    texts = (long, f"b{long[1:]}", f"{long[1:]}b", f"{long}a")
    assert len({_id(CHAT, _chat(_user(), system=text)) for text in texts}) == 4


@pytest.mark.parametrize("dialect", OPENINGS)
def test_cut_emoji_are_no_trouble(dialect: Dialect) -> None:
    """Text that is no valid Unicode, as clients send it, has an identity too."""
    assert _id(dialect, OPENINGS[dialect](_user("cut \ud83d emoji"))) != _id(dialect, OPENINGS[dialect](_user("cut")))


def test_a_stored_conversation_is_named_by_its_provider() -> None:
    """A chain of stored answers is followed from answer to answer, and a stored conversation has one name."""
    chained = {"input": "Why?", "previous_response_id": "resp_1"}
    assert standing(RESPONSES, "key_1", chained) == Standing(after_answer("key_1", "resp_1"), False, False)
    assert after_answer("key_1", "resp_1") not in {after_answer("key_1", "resp_2"), after_answer("key_2", "resp_1")}
    kept = [{"input": text, "conversation": name} for text in "ab" for name in ("conv_1", {"id": "conv_1"})]
    assert len({standing(RESPONSES, "key_1", body) for body in kept}) == 1
    assert not standing(RESPONSES, "key_1", kept[0]).is_opening
    assert _id(RESPONSES, {"conversation": "resp_1"}) != after_answer("key_1", "resp_1")


TOOL_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "4"}
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}
ADDING = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"}


@pytest.mark.parametrize(
    ("dialect", "turns", "is_tool_turn"),
    [
        (CHAT, [_user(), CALLING, {"role": "tool", "tool_call_id": "call_1", "content": "4"}], True),
        (CHAT, [_user(), CALLING, {"role": "tool", "content": "4"}, _user("This is what it drew")], True),
        (CHAT, [_user(), CALLING, {"role": "function", "name": "add", "content": "4"}], True),
        (CHAT, [_user(), CALLING, {"role": "tool", "content": "4"}, _assistant(), _user("Why?")], False),
        (CHAT, [_user()], False),
        (ANTHROPIC, [_user(), _assistant([{"type": "tool_use"}]), _user([TOOL_RESULT])], True),
        (ANTHROPIC, [_user(), _assistant([]), _user([TOOL_RESULT, {"type": "text", "text": "Go on"}])], True),
        (ANTHROPIC, [_user(), _assistant([]), _user([TOOL_RESULT]), _assistant(), _user()], False),
        (ANTHROPIC, [_user(), _assistant([{"type": "server_tool_use", "id": "srvtoolu_1"}])], True),
        (ANTHROPIC, [_user(), _assistant("{")], False),
        (RESPONSES, [_user(), ADDING, {"type": "function_call_output", "call_id": "call_1", "output": "4"}], True),
        (RESPONSES, [_user(), {"type": "reasoning"}, ADDING, {"type": "custom_tool_call_output"}], True),
        (RESPONSES, [_user(), {"type": "mcp_approval_request"}, {"type": "mcp_approval_response"}], True),
        (RESPONSES, [_user(), ADDING, {"type": "function_call_output"}, _assistant(), _user("Why?")], False),
    ],
)
def test_a_tool_loop_is_seen(dialect: Dialect, turns: list[Body], is_tool_turn: bool) -> None:
    """Results of tools since the model last spoke make a tool turn, in each dialect, and nothing else does."""
    found = standing(dialect, "key_1", OPENINGS[dialect](*turns))
    assert found.is_tool_turn is is_tool_turn
    assert found.is_opening is (len(turns) == 1)


def test_results_for_a_stored_answer_are_a_tool_turn() -> None:
    """A chain that goes on with a tool's output is in the middle of a tool loop."""
    body = {"previous_response_id": "resp_1", "input": [{"type": "function_call_output", "output": "4"}]}
    assert standing(RESPONSES, "key_1", body).is_tool_turn


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, {}),
        (CHAT, {"messages": "hi"}),
        (CHAT, {"messages": []}),
        (ANTHROPIC, {"messages": None}),
        (RESPONSES, {"input": []}),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}),
    ],
)
def test_what_cannot_be_told_is_not_guessed(dialect: Dialect, body: Body) -> None:
    """A body without turns has no conversation."""
    assert standing(dialect, "key_1", body) is UNTOLD


_names = st.sampled_from(
    [
        *("role", "user", "assistant", "system", "tool", "content", "messages", "system", "input", "instructions"),
        *("type", "text", "tool_result", "image_url", "source", "url", "data", "conversation", "id", "\ud800"),
        *("previous_response_id", "function_call_output", "server_tool_use"),
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _names | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=25,
)
_bodies = st.dictionaries(_names, _values, max_size=5) | st.fixed_dictionaries(
    {"messages": st.lists(st.dictionaries(_names, _values, max_size=4), max_size=4), "input": _values}
)


@given(st.sampled_from(list(Dialect)), _bodies)
def test_odd_bodies_are_no_trouble(dialect: Dialect, body: Body) -> None:
    """Whatever the body holds, there is an answer, and the same one each time."""
    found = standing(dialect, "key_1", body)
    assert found == standing(dialect, "key_1", body)
    assert found.conversation is None or len(found.conversation) == 16


def test_conversations_are_spread_evenly() -> None:
    """Of many conversations a tenth lies below 0.1, and another salt chooses another tenth."""
    everyone = [number.to_bytes(16, "big") for number in range(4_000)]
    low = {each for each in everyone if share_point(each, "default") < 0.1}
    assert 320 < len(low) < 480
    again = {each for each in everyone if share_point(each, "thrift") < 0.1}
    assert len(low & again) < 80
    assert all(0 <= share_point(each, "") < 1 for each in everyone[:100])
