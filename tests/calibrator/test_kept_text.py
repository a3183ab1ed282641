"""What was kept of a request is read back, in every dialect, whole and streamed."""

from __future__ import annotations

import pytest

from calibrator.kept_text import read_exchange
from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Answer, Dialect, Part, StopReason, Text, Thinking, ToolCall
from gateway.domain.events import Delta, Finished, PartEnded, PartKind, PartStarted, Started, Stopped, Used
from gateway.domain.usage import Usage
from gateway.wiring import CODECS

USAGE = Usage(input_tokens=3, output_tokens=4)
REQUESTS = {
    Dialect.OPENAI_CHAT: {
        "model": "auto",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+3?"}],
    },
    Dialect.OPENAI_RESPONSES: {"model": "auto", "instructions": "Be brief.", "input": "2+3?"},
    Dialect.ANTHROPIC_MESSAGES: {
        "model": "auto",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "2+3?"}],
    },
}


def _answer(*parts: Part) -> Answer:
    return Answer("id", "m", parts, StopReason.END, USAGE, created=1)


def _whole(codec: Codec, *parts: Part) -> bytes:
    return dumps(codec.render_answer(_answer(*parts)))


def _streamed(codec: Codec) -> list[bytes]:
    writer = codec.writer(include_usage=True)
    events = (
        Started("id", "m", 1, USAGE), PartStarted(0, PartKind.TEXT), Delta(0, "It is "), Delta(0, "fünf."),
        PartEnded(0), Stopped(StopReason.END), Used(USAGE),
    )  # fmt: skip
    return [*(writer.write(event) for event in events), b": x-ponder-cost-usd 0.1\n\n" + writer.write(Finished())]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("is_stream", [False, True])
def test_ask_and_answer_come_back(dialect: Dialect, is_stream: bool) -> None:
    """The system's text, the user's and the answer's; thinking and comments are no part of the answer."""
    codec = CODECS[dialect]
    kept = b"".join(_streamed(codec)) if is_stream else _whole(codec, Thinking("hm", "s"), Text("It is fünf."))
    found = read_exchange(dialect, is_stream=is_stream, request=dumps(REQUESTS[dialect]), answer=kept)
    assert found is not None
    assert (found.problem.system, found.problem.question, found.text) == ("Be brief.", "2+3?", "It is fünf.")
    assert not found.calls_tools


@pytest.mark.parametrize("dialect", Dialect)
def test_an_answer_that_calls_a_tool_says_so(dialect: Dialect) -> None:
    """Its words are only what stands before the call."""
    answer = _whole(CODECS[dialect], Text("Let me see."), ToolCall("call_1", "look", "{}"))
    found = read_exchange(dialect, is_stream=False, request=dumps(REQUESTS[dialect]), answer=answer)
    assert found is not None
    assert found.calls_tools


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_broken_off_is_no_answer(dialect: Dialect) -> None:
    """A stream without its end, an answer that is no JSON, and a request that is no chat are passed over."""
    request, stream = dumps(REQUESTS[dialect]), _streamed(CODECS[dialect])
    for is_stream, asked, answer in (
        (True, request, b"".join(stream[:-1])),
        (True, request, b""),
        (False, request, b"{"),
        (False, request, b"[]"),
        (False, b"[]", _whole(CODECS[dialect], Text("5"))),
        (False, b'{"model":"m"}', _whole(CODECS[dialect], Text("5"))),
    ):
        assert read_exchange(dialect, is_stream=is_stream, request=asked, answer=answer) is None
