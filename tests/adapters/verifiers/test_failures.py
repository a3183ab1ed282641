"""What becomes of a server that misbehaves: no score, a class of errors.py, and no text of the answer told."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import orjson
import pytest

from gateway.adapters.verifiers.calls import MAX_ANSWER_BYTES
from gateway.errors import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
)
from tests.adapters.raw_server import until
from tests.adapters.verifiers.conftest import PATIENCE_S, PROBLEM, Make, chain
from tests.adapters.verifiers.fake_vllm import FakeVllm

SECRET = "my diagnosis"
KINDS: dict[str, dict[str, Any]] = {
    "step_rewards": {"kind": "step_rewards"},
    "classify": {"kind": "classify"},
    "label": {"kind": "label", "template": "{question} {steps}"},
    "likelihood": {"kind": "likelihood", "weights": {"bias": 2, "step": 1, "token": 1}},
    "outcome": {"kind": "outcome", "endpoint": "score"},
    "judge": {"kind": "judge"},
}


async def _score(verifier: Any, *, deadline_s: float = PATIENCE_S) -> None:
    await verifier.score(PROBLEM, chain(SECRET, is_whole=True), deadline_s=deadline_s, salt="s")


async def _failure(verifier: Any, kind: type[UpstreamError] = UpstreamFailed, **times: float) -> UpstreamError:
    with pytest.raises(kind) as caught:
        await _score(verifier, **times)
    told: BaseException | None = caught.value
    while told is not None:
        assert SECRET not in f"{told!r} {told}"
        told = told.__cause__
    return caught.value


def _items(answer: dict[str, Any]) -> list[Any]:
    return answer["data"] if "data" in answer else answer["choices"]  # type: ignore[no-any-return]


def _without_items(answer: dict[str, Any]) -> dict[str, Any]:
    _items(answer).clear()
    return answer


def _twice(answer: dict[str, Any]) -> dict[str, Any]:
    _items(answer).extend(_items(answer)[:])
    return answer


def _misnumbered(answer: dict[str, Any]) -> dict[str, Any]:
    _items(answer)[0]["index"] = 3
    return answer


BAD = {
    "no items": _without_items,
    "too many items": _twice,
    "misnumbered": _misnumbered,
    "a list": lambda answer: [answer],
    "a string": lambda _: SECRET,
    "nothing": lambda _: b"",
    "cut": lambda answer: orjson.dumps(answer)[:-2],
    "NaN": lambda _: b'{"data": [{"index": 0, "probs": [NaN]}]}',
    "an error": lambda _: {"error": {"message": SECRET}},
    "empty object": lambda _: {},
    "huge": lambda _: b" " * (MAX_ANSWER_BYTES + 1),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", set(KINDS) - {"judge"})
async def test_an_answer_that_is_none(make: Make, server: FakeVllm, kind: str, bad: str) -> None:
    """An answer of the wrong shape or length is the upstream's failure, and is asked for once."""
    server.spoil = BAD[bad]
    await _failure(make(retries=3, **KINDS[kind]))
    assert len(server.asked) == 1


@pytest.mark.parametrize("bad", ["a list", "a string", "nothing", "cut", "an error", "empty object", "huge"])
async def test_a_judge_that_is_none(make: Make, server: FakeVllm, bad: str) -> None:
    """What is no chat answer is the upstream's failure."""
    server.spoil = BAD[bad]
    await _failure(make(retries=3, **KINDS["judge"]))
    assert len(server.asked) == 1


@pytest.mark.parametrize("says", ["", "Perhaps", "Yesterday", "I will not."])
async def test_a_judge_that_says_something_else(make: Make, server: FakeVllm, says: str) -> None:
    """Neither a yes nor a no is no score."""
    server.says = says
    await _failure(make(kind="judge", logprobs=False))


@pytest.mark.parametrize("probs", [None, [], ["0.5"], [None, 1.0], [True, False], [0.5, 1.7], [-0.2, 1.2], [1e300, 0]])
async def test_scores_that_are_none(make: Make, server: FakeVllm, probs: Any) -> None:
    """Missing, foreign and impossible numbers are no scores."""

    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        answer["data"][0]["probs"] = probs
        return answer

    server.spoil = spoil
    await _failure(make(kind="classify"))


@pytest.mark.parametrize("label", [None, 7])
async def test_a_class_that_is_not_there(make: Make, server: FakeVllm, label: int | None) -> None:
    """Of three classes the right one must be named, and be one of them."""

    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        answer["data"][0]["probs"] = [0.2, 0.3, 0.5]
        return answer

    server.spoil = spoil
    fault = await _failure(make(kind="classify", label=label))
    assert "tells 3 classes apart; set label" in fault.message


async def test_steps_that_were_not_scored(make: Make, server: FakeVllm) -> None:
    """A server that pools by another tag, or by token, is told apart from one that scores steps."""

    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        answer["data"][0]["data"] = [[0.5, 0.5]] * 9
        return answer

    server.spoil = spoil
    fault = await _failure(make(kind="step_rewards"))
    assert "1 steps were asked about, and 9 scored" in fault.message


async def test_labels_that_are_not_likely(make: Make) -> None:
    """Where neither label is listed, the model was not made for this template."""
    fault = await _failure(make(kind="label", template="{steps}", labels=["good", "ill"]))
    assert "neither label" in fault.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, UpstreamFailed),
        (503, UpstreamOverloaded),
        (400, UpstreamRefused),
        (401, UpstreamDenied),
        (404, UpstreamRefused),
    ],
)
@pytest.mark.parametrize("form", KINDS)
async def test_refusals(make: Make, server: FakeVllm, form: str, status: int, kind: type[UpstreamError]) -> None:
    """A refused call raises what any upstream's refusal raises."""
    server.statuses = [status]
    await _failure(make(**KINDS[form]), kind)


async def test_a_call_that_cost_nothing_is_made_again(make: Make, server: FakeVllm) -> None:
    """A server that was overloaded for a moment is asked once more, as its upstream's retries say."""
    server.statuses = [503]
    await _score(make(retries=1, kind="classify"))
    assert len(server.asked) == 2
    server.statuses = [400]
    await _failure(make(retries=1, kind="classify"), UpstreamRefused)
    assert len(server.asked) == 3


async def test_nothing_that_failed_is_remembered(make: Make, server: FakeVllm) -> None:
    """After a failure the same chain is asked about again."""
    verifier = make(kind="classify")
    server.statuses = [500]
    await _failure(verifier)
    await _score(verifier)
    assert len(server.asked) == 2


async def test_a_failure_is_logged_once(make: Make, server: FakeVllm, caplog: pytest.LogCaptureFixture) -> None:
    """The reason for a missing score is logged when it comes, and again only after a score; it quotes no text."""
    verifier = make(kind="classify")
    for number, fails in enumerate((True, True, False, True)):
        server.statuses = [500] if fails else []
        answer = chain(f"{SECRET} {number}", is_whole=True)
        with pytest.raises(UpstreamFailed) if fails else nullcontext():
            await verifier.score(PROBLEM, answer, deadline_s=PATIENCE_S, salt="s")
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["verifier prm gave no score: upstream gpu answered 500"] * 2


async def test_a_slow_server_is_given_up(make: Make, server: FakeVllm) -> None:
    """At the deadline there is no score, and the call is cancelled at the server."""
    server.gate.clear()
    await _failure(make(kind="classify"), UpstreamTimedOut, deadline_s=0.05)
    await until(lambda: server.cancelled == len(server.asked))


async def test_a_chain_that_is_not_wanted_any_more(make: Make, server: FakeVllm) -> None:
    """A score that its asker gives up is cancelled at the server."""
    server.gate.clear()
    asking = asyncio.create_task(_score(make(kind="classify")))
    await until(lambda: server.asked)
    asking.cancel()
    await asyncio.wait({asking})
    await until(lambda: server.cancelled)
