"""Asks told by their turns: each continues just the one before it, for any body."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
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
    found = standing(dialect, key_id, body).ask
    assert found is not None
    return found


def _continues(dialect: Dialect, body: Body) -> bytes | None:
    return standing(dialect, "key_1", body).continues


@pytest.mark.parametrize("dialect", OPENINGS)
def test_each_ask_continues_the_one_before(dialect: Dialect) -> None:
    """The second ask goes on from the first and the third from the second, whatever was answered."""
    begin = OPENINGS[dialect]
    turns = [_user(), _assistant(), _user("And 3 + 3?"), _assistant("6"), _user("Why?")]
    first, second, third = (begin(*turns[:length]) for length in (1, 3, 5))
    assert _continues(dialect, first) is None
    assert _continues(dialect, second) == _id(dialect, first)
    assert _continues(dialect, third) == _id(dialect, second)
    assert len({_id(dialect, ask) for ask in (first, second, third)}) == 3
    assert len(_id(dialect, first)) == 16
    otherwise = begin(_user(), _assistant("four"), _user("And 3 + 3?"))
    assert _continues(dialect, otherwise) == _id(dialect, first)


@pytest.mark.parametrize("dialect", OPENINGS)
def test_examples_before_an_ask_make_no_conversation(dialect: Dialect) -> None:
    """Asks that an application begins alike continue nothing that was asked; what really follows one continues it."""
    begin = OPENINGS[dialect]
    shots = [_user("1 + 1?"), _assistant("2"), _user("1 + 2?"), _assistant("3")]
    one, other = (begin(*shots, _user(text)) for text in ("2 + 2?", "3 + 3?"))
    assert _continues(dialect, one) == _continues(dialect, other)
    assert _continues(dialect, one) not in {_id(dialect, one), _id(dialect, other)}
    assert _id(dialect, one) != _id(dialect, other)
    followed = begin(*shots, _user("2 + 2?"), _assistant(), _user("Why?"))
    assert _continues(dialect, followed) == _id(dialect, one)


@pytest.mark.parametrize("dialect", OPENINGS)
def test_a_begun_answer_does_not_count(dialect: Dialect) -> None:
    """An ask that ends with the beginning of its answer is the one without, and goes on from the same one."""
    begin = OPENINGS[dialect]
    asked = begin(_user(), _assistant(), _user("Why?"))
    begun = begin(_user(), _assistant(), _user("Why?"), _assistant("Because"))
    assert _id(dialect, begun) == _id(dialect, asked)
    assert _continues(dialect, begin(_user(), _assistant("{"))) == _id(dialect, begin(_user()))


def test_a_tool_loop_is_followed_step_by_step() -> None:
    """Each step of a tool loop continues the one before, though the model wrote several items in between."""
    asks = [
        _responses(_user()),
        _responses(_user(), {"type": "reasoning"}, ADDING, {"type": "function_call_output", "output": "4"}),
        _responses(
            _user(), {"type": "reasoning"}, ADDING, {"type": "function_call_output", "output": "4"}, ADDING,
            {"type": "function_call_output", "output": "5"},
        ),
    ]  # fmt: skip
    for before, after in pairwise(asks):
        assert _continues(RESPONSES, after) == _id(RESPONSES, before)


def test_long_conversations_are_told_apart_by_their_last_turns() -> None:
    """Two that begin alike and are as long differ where their last turns do."""
    many = [turn for number in range(50) for turn in (_user(f"{number}?"), _assistant())]
    one, other = (_id(CHAT, _chat(*many, _user(text))) for text in ("a", "b"))
    assert one != other


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
    assert _continues(RESPONSES, body) is None
    assert _id(RESPONSES, body) == _continues(RESPONSES, _responses(_user(), _assistant(), _user("Why?")))


def test_an_assistants_greeting_is_part_of_the_opening() -> None:
    """What stands before the first user's turn belongs to the opening, also where an assistant said it."""
    greeted = _chat(_assistant("Hello!"), _user())
    assert _continues(CHAT, greeted) is None
    assert _id(CHAT, greeted) != _id(CHAT, _chat(_user()))
    assert _id(CHAT, greeted) == _continues(CHAT, _chat(_assistant("Hello!"), _user(), _assistant(), _user("Why?")))


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
    before = after_answer("key_1", "resp_1")
    assert standing(RESPONSES, "key_1", chained) == Standing(before, before, is_tool_turn=False)
    assert after_answer("key_1", "resp_1") not in {after_answer("key_1", "resp_2"), after_answer("key_2", "resp_1")}
    kept = [{"input": text, "conversation": name} for text in "ab" for name in ("conv_1", {"id": "conv_1"})]
    assert len({standing(RESPONSES, "key_1", body) for body in kept}) == 1
    assert _continues(RESPONSES, kept[0]) is not None
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
    assert (found.continues is None) is (len(turns) == 1)


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
    assert all(each is None or len(each) == 16 for each in (found.ask, found.continues))


def test_conversations_are_spread_evenly() -> None:
    """Of many conversations a tenth lies below 0.1, and another salt chooses another tenth."""
    everyone = [number.to_bytes(16, "big") for number in range(4_000)]
    low = {each for each in everyone if share_point(each, "default") < 0.1}
    assert 320 < len(low) < 480
    again = {each for each in everyone if share_point(each, "thrift") < 0.1}
    assert len(low & again) < 80
    assert all(0 <= share_point(each, "") < 1 for each in everyone[:100])
