"""Kept requests as traces."""

from __future__ import annotations

import pytest

from calibrator.export.trace import read_trace
from gateway.domain.chat import StopReason
from tests.calibrator.export.kept import CHECK, asked, kept, said


def test_a_trace_has_conversation_answer_thinking_and_score() -> None:
    """As text, with what was found of it."""
    trace = read_trace(kept(asked(check=CHECK), said("It is 5.", "2 and 3"), score=0.5))
    assert trace is not None
    assert trace.messages == ({"role": "user", "content": "2+3?"},)
    assert (trace.answer, trace.thinking, trace.is_whole) == ("It is 5.", "2 and 3", True)
    assert (trace.check, trace.score, trace.sources) == (CHECK, 0.5, ("user",))


def test_nothing_found_is_no_score() -> None:
    """Neither right nor wrong."""
    trace = read_trace(kept(score=None))
    assert trace is not None
    assert trace.score is None


def test_equal_asks_are_one_item() -> None:
    """Whatever their blanks and capitals; another ask is another item."""
    traces = [read_trace(kept(asked(text))) for text in ("What is 2+3?", "what  is\n2+3?", "What is 2+4?")]
    first, same, other = (trace.item for trace in traces if trace is not None)
    assert first == same != other


def test_texts_are_redacted() -> None:
    """In the conversation, the answer and the thinking."""
    trace = read_trace(kept(asked("Mail a@b.org"), said("c@d.org", "e@f.org")))
    assert trace is not None
    assert (trace.messages[0]["content"], trace.answer, trace.thinking) == ("Mail [EMAIL]", "[EMAIL]", "[EMAIL]")


@pytest.mark.parametrize("check", [{"kind": "exact", "answer": "a@b.org"}, {"kind": "judge"}, {"kind": "math"}, 5])
def test_checks_that_cannot_be_handed_on_are_left_out(check: object) -> None:
    """Those that hold what is taken out, that need a verifier of the operator's, or are none."""
    trace = read_trace(kept(asked(check=check)))
    assert trace is not None
    assert trace.check is None


@pytest.mark.parametrize(
    "request_",
    [
        asked(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        asked(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]),
        asked(messages=[{"role": "user", "content": "2+3?"}, {"role": "assistant", "content": "It"}]),
        b"{",
        b"[]",
    ],
)
def test_more_than_text_is_no_trace(request_: bytes) -> None:
    """Tools, images, answers begun for the model, and what is broken off."""
    assert read_trace(kept(request_)) is None


def test_an_answer_that_was_cut_is_not_whole() -> None:
    """It ended for want of tokens."""
    trace = read_trace(kept(answer=said("It is", stop=StopReason.MAX_TOKENS)))
    assert trace is not None
    assert not trace.is_whole
