"""The Response object, read and rendered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from gateway.dialects.openai_responses import CODEC
from gateway.domain.chat import Answer, Refusal, StopReason, Text, ToolCall
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed, UpstreamRateLimited
from tests.dialects.openai_responses import transcripts
from tests.dialects.openai_responses.typed import encodable
from tests.dialects.strategies import answers, json_values

_SAID = {StopReason.STOP_SEQUENCE: StopReason.END, StopReason.CONTEXT_FULL: StopReason.MAX_TOKENS}
"""Stop reasons for which this dialect has only a coarser word."""


def _sayable(answer: Answer) -> Answer:
    stop = _SAID.get(answer.stop, answer.stop)
    if stop is StopReason.REFUSAL and not any(isinstance(part, Refusal) for part in answer.parts):
        stop = StopReason.CONTENT_FILTER
    usage = answer.usage
    return replace(
        answer,
        stop=stop,
        stop_sequence=None,
        usage=replace(
            usage,
            cache_write_5m_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            cache_write_1h_tokens=0,
            audio_input_tokens=0,
            audio_output_tokens=0,
            web_searches=0,
            raw={},
        ),
    )


@given(answer=answers(interleaved=True))
def test_rendering_and_reading_keep_the_answer(answer: Answer) -> None:
    """A rendered answer reads back as the same answer, save what the dialect has no word for."""
    read = CODEC.read_answer(CODEC.render_answer(answer))
    assert replace(read, usage=replace(read.usage, raw={})) == _sayable(answer)


@given(answer=answers(interleaved=True))
def test_answers_are_what_the_openai_package_types(answer: Answer) -> None:
    """A rendered answer validates as the openai package's Response, and renders the same twice."""
    rendered = CODEC.render_answer(answer)
    response = Response.model_validate(encodable(rendered), strict=False)
    assert response.object == "response"
    assert response.status in ("completed", "incomplete")
    assert len({item["id"] for item in rendered["output"]}) == len(answer.parts)
    assert CODEC.render_answer(answer) == rendered


def test_a_translated_answer_says_it_is_not_stored() -> None:
    """``store`` is false: nothing can be continued by the id of a translated answer."""
    rendered = CODEC.render_answer(Answer("a1", "m", (Text("Hi"),), StopReason.END, Usage()))
    assert rendered["store"] is False
    assert rendered["previous_response_id"] is None


@pytest.mark.parametrize(
    ("stop", "status", "details"),
    [
        (StopReason.END, "completed", None),
        (StopReason.STOP_SEQUENCE, "completed", None),
        (StopReason.TOOL_CALLS, "completed", None),
        (StopReason.MAX_TOKENS, "incomplete", {"reason": "max_output_tokens"}),
        (StopReason.CONTEXT_FULL, "incomplete", {"reason": "max_output_tokens"}),
        (StopReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
        (StopReason.REFUSAL, "incomplete", {"reason": "content_filter"}),
        (StopReason.PAUSED, "incomplete", None),
    ],
)
def test_every_stop_reason_has_a_status(stop: StopReason, status: str, details: dict[str, str] | None) -> None:
    """An answer that did not end by itself is incomplete, with the reason where there is a word for it."""
    rendered = CODEC.render_answer(Answer("a1", "m", (Text("Hi"),), stop, Usage()))
    assert (rendered["status"], rendered["incomplete_details"]) == (status, details)


@pytest.mark.parametrize(("tier", "said"), [("standard", "default"), ("priority", "priority"), ("batch", None)])
def test_service_tiers_go_by_openai_names(tier: str, said: str | None) -> None:
    """A tier of another provider is told by OpenAI's name for it, or not at all."""
    rendered = CODEC.render_answer(Answer("a1", "m", (), StopReason.END, Usage(service_tier=tier)))
    assert rendered.get("service_tier") == said


def test_item_ids_fit_the_api() -> None:
    """Ids of items hold no odd character and stay within 64, whatever the answer's id."""
    rendered = CODEC.render_answer(
        Answer("gen/ü" * 40, "m", (ToolCall("c", "f", "{}"),), StopReason.TOOL_CALLS, Usage())
    )
    identifier = rendered["output"][0]["id"]
    assert len(identifier) <= 64
    assert identifier.replace("_", "").isalnum()
    assert identifier.isascii()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "secret prompt"}, UpstreamFailed),
        ({"code": "rate_limit_exceeded", "message": "secret prompt"}, UpstreamRateLimited),
        (None, UpstreamFailed),
    ],
)
def test_a_failed_response_is_no_answer(error: dict[str, str] | None, kind: type[Exception]) -> None:
    """A failed response raises by its code, without repeating a message that may quote the prompt."""
    with pytest.raises(kind) as fault:
        CODEC.read_answer(transcripts.response(status="failed", error=error))
    assert "secret prompt" not in str(fault.value)


@pytest.mark.parametrize("body", [{}, {"error": {"message": "x"}}, transcripts.response(), {"output": 5, "id": "r"}])
def test_what_is_no_response_fails_the_upstream(body: dict[str, Any]) -> None:
    """An error body under status 200, an unfinished response and strange objects are no answers."""
    with pytest.raises(UpstreamFailed):
        CODEC.read_answer(body)


_items = st.sampled_from([transcripts.MESSAGE, transcripts.CALLS[0], transcripts.REASONING, 7, {}])
_values = st.one_of(json_values, st.lists(_items, max_size=3))
_keys = st.sampled_from(["output", "usage", "status", "incomplete_details", "created_at", "error", "service_tier"])


@given(body=st.dictionaries(_keys, _values))
def test_any_json_is_an_answer_or_a_failure(body: dict[str, Any]) -> None:
    """Whatever JSON an upstream answers is read or is its failure: nothing else is raised."""
    try:
        CODEC.read_answer({"id": "r", "model": "m"} | body)
    except (UpstreamFailed, UpstreamRateLimited):
        return
