"""What a provider has stored is continued by those whose it is, as far as anybody here knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.errors import InvalidRequest
from gateway.flow.serve import serve_ask
from gateway.ports import AnswerHome
from tests.flow.scripted import Kept, Play, ScriptedUpstream, arrival, house_of

TENANT, OPERATOR = Key("k1", "tenant"), Key("k1", "operator", may_override=True)
BODY = json.dumps({"id": "resp_2", "object": "response", "status": "completed", "output": []}).encode()
REFERENCE = {"type": "item_reference", "id": "msg_1"}
TURN = {"role": "user", "content": "And then?"}


async def _ask(key: Key, kept: Kept, dialect: Dialect = Dialect.OPENAI_RESPONSES, **members: Any) -> None:
    upstream = ScriptedUpstream(dialect, Play((BODY,)))
    try:
        await serve_ask(arrival(dialect, is_stream=False, **members).ask, key, house_of(upstream, kept))
    finally:
        assert len(upstream.calls) == len(kept.records[-1].calls)


async def _refused(key: Key, kept: Kept, **members: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        await _ask(key, kept, **members)
    assert kept.records[-1].calls == ()
    return refused.value


@pytest.mark.parametrize("key", [TENANT, OPERATOR], ids=["tenant", "operator"])
async def test_a_key_continues_its_own_response(key: Key) -> None:
    """A response is remembered with its key and upstream, and that key goes on with it."""
    kept = Kept()
    kept.answers["resp_1"] = AnswerHome("scripted", "k1")
    await _ask(key, kept, previous_response_id="resp_1")
    assert kept.answers["resp_2"] == AnswerHome("scripted", "k1")


async def test_a_response_made_at_another_gateway_is_waited_for() -> None:
    """A response whose record is still on its way to the database is continued by its key."""
    kept = Kept()
    kept.late_answers["resp_1"] = AnswerHome("scripted", "k1")
    await _ask(TENANT, kept, previous_response_id="resp_1")


@pytest.mark.parametrize("key", [TENANT, OPERATOR], ids=["tenant", "operator"])
async def test_another_keys_response_is_refused(key: Key) -> None:
    """Before any call, and in the words for a response that does not exist."""
    kept = Kept()
    kept.answers["resp_1"] = AnswerHome("scripted", "k2")
    refusal = await _refused(key, kept, previous_response_id="resp_1")
    assert refusal.param == "previous_response_id"
    assert refusal.message == (await _refused(TENANT, Kept(), previous_response_id="resp_9")).message


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_9"}, "previous_response_id"),
        ({"previous_response_id": 9}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"input": [TURN, REFERENCE]}, "input[1]"),
        ({"input": [{"id": "msg_1"}, TURN]}, "input[0]"),
        ({"input": [{"type": None, "id": "msg_1"}]}, "input[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
async def test_what_nobody_knows_the_owner_of_is_for_keys_that_may_override(
    members: dict[str, Any], param: str
) -> None:
    """The provider's account is the operator's, so an unknown id may be another tenant's: 400 that names the field."""
    assert (await _refused(TENANT, Kept(), **members)).param == param
    await _ask(OPERATOR, Kept(), **members)


@pytest.mark.parametrize(
    "members",
    [
        {"previous_response_id": None, "conversation": None},
        {"input": "Hello"},
        {"input": [TURN, {"type": "message", **TURN}, {"type": "reasoning", "id": "rs_1", "summary": []}, 7]},
    ],
    ids=["null", "text", "items"],
)
async def test_what_is_sent_whole_is_nobodys_concern(members: dict[str, Any]) -> None:
    """Text, turns and items that only bear an id pass."""
    await _ask(TENANT, Kept(), **members)


async def test_other_dialects_have_no_such_fields() -> None:
    """A field of the same name in another dialect means nothing here."""
    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [], "usage": None}).encode()
    kept, upstream = Kept(), ScriptedUpstream(Dialect.OPENAI_CHAT, Play((body,)))
    ask = arrival(Dialect.OPENAI_CHAT, is_stream=False, conversation="c", previous_response_id="r").ask
    await serve_ask(ask, TENANT, house_of(upstream, kept))
    assert len(upstream.calls) == 1
