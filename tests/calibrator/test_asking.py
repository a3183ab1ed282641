"""Asking the gateway: what an answer is, what counts as wrong, what is waited for, and what ends a run."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from calibrator.asking import Answer, Asking, Failure, Postponed, Wanted
from calibrator.items.item import Item
from gateway.domain.check import Kind, TruthCheck
from gateway.domain.money import ZERO, usd
from gateway.errors import ConfigurationError, Unavailable

ITEM = Item("a", ({"role": "user", "content": "2 + 2?"},), "math", "easy", TruthCheck(Kind.MATH, ("4",)))
GOOD = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}
Reply = tuple[int, dict[str, str], Any]


@dataclass(slots=True)
class StandIn:
    """A gateway that says what a test wants, one reply after another, the last one again and again."""

    replies: list[Reply]
    bodies: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    address: str = ""

    def next(self) -> Reply:
        """What is answered now."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def standing_in(*replies: Reply) -> Iterator[StandIn]:
    """The stand-in, on loopback."""
    found = StandIn(list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._say()

        def do_GET(self) -> None:
            self._say()

        def _say(self) -> None:
            found.keys.append(self.headers["authorization"])
            status, headers, body = found.next()
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Tests need no access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        found.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def _asking(address: str, patience_s: float = 5.0) -> AsyncIterator[Asking]:
    asking = Asking(address, "sk-calibrator", connections=2, patience_s=patience_s)
    try:
        yield asking
    finally:
        await asking.close()


def _wanted(max_cost: str = "0.25") -> Wanted:
    return Wanted(ITEM, "work", "fast", "run_1", usd(max_cost), deadline_s=5)


async def test_an_answer_has_its_text_cost_and_tokens() -> None:
    """As the gateway tells them; it is asked for the arm, under the ceiling, with the run as a tag."""
    headers = {"x-ponder-cost-usd": "0.0125", "x-ponder-request-id": "r1"}
    with standing_in((200, headers, GOOD)) as gateway:
        async with _asking(gateway.address) as asking:
            said = await asking.ask(_wanted())
    assert isinstance(said, Answer)
    assert (said.text, said.cost, said.tokens, said.request_id) == ("4", usd("0.0125"), 3, "r1")
    assert gateway.keys == ["Bearer sk-calibrator"]
    assert gateway.bodies == [
        {
            "model": "arm:work/fast",
            "messages": [{"role": "user", "content": "2 + 2?"}],
            "ponder": {"tags": {"calibration": "run_1"}, "max_cost_usd": "0.25"},
        }
    ]


async def test_what_is_free_has_no_ceiling_and_an_unknown_cost_is_none() -> None:
    """A ceiling of nothing would be refused; and who does not know a cost says none."""
    empty = {"choices": [{"message": {"content": None}}]}
    with standing_in((200, {}, empty)) as gateway:
        async with _asking(gateway.address) as asking:
            said = await asking.ask(_wanted("0"))
    assert isinstance(said, Answer)
    assert (said.text, said.cost, said.tokens) == ("", None, 0)
    assert "max_cost_usd" not in gateway.bodies[0]["ponder"]


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    """After the time that is named, or a little while."""
    later = (status, {"retry-after": "0.01"}, {"error": {"message": "later"}})
    with standing_in(later, later, (200, {"x-ponder-cost-usd": "0"}, GOOD)) as gateway:
        async with _asking(gateway.address) as asking:
            said = await asking.ask(_wanted())
    assert isinstance(said, Answer)
    assert len(gateway.bodies) == 3


async def test_what_does_not_pass_in_time_says_nothing_of_the_arm() -> None:
    """It is put off, and cost nothing."""
    with standing_in((503, {"retry-after": "60"}, {"error": {"message": "later"}})) as gateway:
        async with _asking(gateway.address) as asking:
            assert await asking.ask(_wanted()) == Postponed("upstream gateway is overloaded (503)", True)
    async with _asking("http://127.0.0.1:9", patience_s=0) as asking:
        said = await asking.ask(_wanted())
    assert isinstance(said, Postponed)
    assert said.is_unbilled


async def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    """It may have been charged, which is for the caller to count first."""
    with standing_in((200, {"content-length": "9999", "connection": "close"}, GOOD)) as gateway:
        async with _asking(gateway.address) as asking:
            said = await asking.ask(_wanted())
    assert isinstance(said, Postponed)
    assert not said.is_unbilled
    assert len(gateway.bodies) == 1


async def test_a_refusal_for_good_and_a_late_answer_are_the_arms_own() -> None:
    """To ask again would not help. What a late answer cost nobody knows."""
    refused = (400, {}, {"error": {"message": "too long", "code": "upstream_refused"}})
    with standing_in(refused) as gateway:
        async with _asking(gateway.address) as asking:
            said = await asking.ask(_wanted())
    assert isinstance(said, Failure)
    assert (said.reason, said.cost) == ("refused (400)", ZERO)
    with standing_in((504, {}, {"error": {"message": "late"}})) as gateway:
        async with _asking(gateway.address) as asking:
            late = await asking.ask(_wanted())
    assert isinstance(late, Failure)
    assert late.cost is None
    assert len(gateway.bodies) == 1


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "unknown_model", "the gateway refuses arm fast of policy work: no such arm"),
        (400, "unpriced_model", "the gateway refuses arm fast of policy work: no such arm"),
        (400, "invalid_request", "the gateway refuses arm fast of policy work: no such arm"),
        (402, "budget_exhausted", "the gateway turned the calibrator away"),
        (403, "not_allowed", "PONDER_CALIBRATOR_KEY names another"),
    ],
)
async def test_what_is_wrong_with_the_run_ends_it(status: int, code: str, said: str) -> None:
    """An arm that there is not, a key that may not, a budget that is spent: no fault of an answer."""
    with standing_in((status, {}, {"error": {"message": "no such arm", "code": code}})) as gateway:
        async with _asking(gateway.address) as asking:
            with pytest.raises(ConfigurationError, match=said):
                await asking.ask(_wanted())


async def test_a_gateway_is_looked_for_first() -> None:
    """With what to do where none answers, and where the key is not taken."""
    with standing_in((200, {}, {"data": []}), (401, {}, {"error": {"message": "who?"}})) as gateway:
        async with _asking(gateway.address) as asking:
            await asking.check()
            with pytest.raises(
                ConfigurationError, match="does not take the calibrator's key; set PONDER_CALIBRATOR_KEY"
            ):
                await asking.check()
    async with _asking("http://127.0.0.1:9") as asking:
        with pytest.raises(Unavailable, match="start one with `ponder up`"):
            await asking.check()
