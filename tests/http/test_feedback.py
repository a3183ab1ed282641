"""Feedback over HTTP: on whose requests, by which id, what is refused, and what comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, cast

import anthropic
import httpx
import openai
import pytest
import yaml

from gateway.domain.identity import new_request_id
from gateway.domain.outcome import MOST_COMMENT, MOST_SOURCES
from gateway.errors import RateLimited
from gateway.http.feedback import MOST_PER_MINUTE, UNRECORDED_S, Pace
from tests.flow.turning_clock import TurningClock
from tests.http.admin.administrator import Administrator
from tests.upstreams import configuration
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

POLICY: dict[str, Any] = {
    "arms": {"plain": {"model": "gpt-4.1-mini"}},
    "defaults": {"arm": "plain", "reference": "plain", "max_cost_usd": 0.5},
}


@pytest.fixture(scope="module", name="gateway")
def _gateway(
    tmp_path_factory: pytest.TempPathFactory, openai_server: OpenAIServer, anthropic_server: AnthropicServer
) -> Iterator[GatewayProcess]:
    """A gateway with a policy that keeps texts, and one that does not."""
    home = tmp_path_factory.mktemp("feedback")
    for name, stores in (("default", False), ("keeping", True)):
        folder = home / "policies" / name
        folder.mkdir(parents=True)
        (folder / "policy.yaml").write_text(yaml.safe_dump({"policy": name, **POLICY, "store_text": stores}), "utf-8")
    settings = configuration.providers(openai_server.address, anthropic_server.address, openai_server.address)
    with GatewayProcess(home, settings, configuration.SECRETS) as process:
        yield process


@pytest.fixture(scope="module", name="admin")
def _admin(gateway: GatewayProcess) -> Administrator:
    return Administrator.of_home(gateway.address, gateway.home)


def _asked(gateway: GatewayProcess, model: str = "gpt-4.1-mini", secret: str | None = None) -> httpx.Response:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return gateway.post("/v1/chat/completions", json=body, headers=headers).raise_for_status()


def _id(answer: httpx.Response) -> str:
    return answer.headers["x-ponder-request-id"]


def _give(gateway: GatewayProcess, request_id: str, secret: str | None = None, **said: Any) -> httpx.Response:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return gateway.post("/v1/feedback", json={"request_id": request_id, "source": "user", **said}, headers=headers)


def _outcomes(gateway: GatewayProcess, request_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.record(request_id)["outcomes"]
    return found


def test_feedback_right_after_an_answer_stands_in_its_record(gateway: GatewayProcess) -> None:
    """Right is 1 and wrong is 0, by each source; without any, nothing is said."""
    request_id = _id(_asked(gateway))
    assert _outcomes(gateway, request_id) == []
    answer = _give(gateway, request_id, correct=True)
    assert answer.status_code == 200
    assert answer.json() == {
        "request_id": request_id,
        "source": "user",
        "score": 1,
        "is_recorded": True,
        "is_comment_kept": False,
    }
    _give(gateway, request_id, source="tests", score=0.25, weight=0.5, probability=0.1)
    first, second = _outcomes(gateway, request_id)
    assert (first["source"], first["score"], first["by"]) == ("user", 1, "default")
    assert (first["weight"], first["probability"], first["comment"]) == (1, None, None)
    assert (second["source"], second["score"], second["weight"], second["probability"]) == ("tests", 0.25, 0.5, 0.1)
    assert _give(gateway, request_id, correct=False).json()["score"] == 0
    assert sorted((each["source"], each["score"]) for each in _outcomes(gateway, request_id)) == [
        ("tests", 0.25),
        ("user", 0),
    ]


def test_official_clients_give_feedback_by_their_answers_ids(gateway: GatewayProcess) -> None:
    """With the client's own way of posting, and the id that the answer carries in its body."""
    client = openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key)
    answer = client.chat.completions.with_raw_response.create(
        model="auto:keeping", messages=[{"role": "user", "content": "hello"}]
    )
    said = {"request_id": answer.parse().id, "score": 0.5, "source": "thumbs"}
    told = cast(dict[str, Any], client.post("/feedback", body=said, cast_to=object))
    assert told["request_id"] == answer.headers["x-ponder-request-id"]
    other = anthropic.Anthropic(base_url=gateway.address, api_key=gateway.key)
    message = other.messages.with_raw_response.create(
        model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    )
    said = {"request_id": message.parse().id, "correct": True, "source": "thumbs"}
    told = cast(dict[str, Any], other.post("/v1/feedback", body=said, cast_to=object))
    assert told["request_id"] == message.headers["x-ponder-request-id"]
    assert [each["score"] for each in _outcomes(gateway, told["request_id"])] == [1]


def test_the_openai_client_gives_feedback_by_metadata(gateway: GatewayProcess) -> None:
    """By updating the completion; who judged, and how sure, may stand beside it."""
    said = {"feedback": "0.25", "feedback_source": "thumbs", "feedback_weight": "0.5", "feedback_comment": "long"}
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=gateway.key) as client:
        answer = client.chat.completions.with_raw_response.create(
            model="auto:keeping", messages=[{"role": "user", "content": "hello"}]
        )
        completion, request_id = answer.parse(), answer.headers["x-ponder-request-id"]
        updated = client.chat.completions.update(completion.id, metadata=said)
        client.chat.completions.update(request_id, metadata={"feedback": "true"})
    assert (updated.id, updated.object, updated.choices) == (completion.id, "chat.completion", [])
    found = {
        each["source"]: (each["score"], each["weight"], each["comment"]) for each in _outcomes(gateway, request_id)
    }
    assert found == {"thumbs": (0.25, 0.5, "long"), "user": (1, 1, None)}


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({}, "metadata.feedback"),
        ({"feedback": "good"}, "metadata.feedback"),
        ({"feedback": "nan"}, "metadata.feedback"),
        ({"feedback": "2"}, "metadata.feedback"),
        ({"feedback": "1", "customer": "7"}, "metadata.customer"),
        ({"feedback": "1", "feedback_probability": "0"}, "probability"),
        ({"feedback": "1", "feedback_source": "a b"}, "source"),
        ({"feedback": 1}, "metadata"),
        (None, None),
    ],
)
def test_metadata_that_is_no_feedback_is_refused(gateway: GatewayProcess, metadata: Any, named: str | None) -> None:
    """In OpenAI's words, naming what is at fault; nothing of it is kept."""
    request_id = _id(_asked(gateway))
    answer = gateway.post(f"/v1/chat/completions/{request_id}", json={"metadata": metadata})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", named)
    assert _outcomes(gateway, request_id) == []


def test_metadata_of_another_key_s_completion_is_not_found(gateway: GatewayProcess, admin: Administrator) -> None:
    """As with feedback; and there is no update without a key."""
    stranger = admin.key()[1]
    completion_id = _asked(gateway).json()["id"]
    for secret, status in ((stranger, 404), ("sk-ponder-nobody", 401)):
        with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=secret) as client:
            with pytest.raises(openai.APIStatusError) as refused:
                client.chat.completions.update(completion_id, metadata={"feedback": "1"})
            assert refused.value.response.status_code == status
            refused.value.response.close()


def test_only_the_key_that_asked_or_a_role_gives_feedback(gateway: GatewayProcess, admin: Administrator) -> None:
    """To another key the request is not there, by neither id; what a role says stands beside the key's own."""
    stranger, reviewer = admin.key()[1], admin.having("viewer").secret
    answer = _asked(gateway)
    gateway.record(_id(answer))
    for named in (_id(answer), answer.json()["id"]):
        assert _give(gateway, named, stranger, correct=False).status_code == 404
    assert _give(gateway, _id(answer), "sk-ponder-nobody", correct=False).status_code == 401
    assert _give(gateway, _id(answer), correct=True).status_code == 200
    assert _give(gateway, _id(answer), reviewer, correct=False).status_code == 200
    assert [each["score"] for each in _outcomes(gateway, _id(answer))] == [1, 0]


def test_feedback_on_what_is_not_recorded_yet_is_kept(gateway: GatewayProcess) -> None:
    """For as long as a record may be on its way; what was never asked, will be or is long gone is not found."""
    now = time.time()
    for begun_at in (now, now - UNRECORDED_S + 600):
        answer = _give(gateway, new_request_id(begun_at), correct=True)
        assert (answer.status_code, answer.json()["is_recorded"]) == (202, False)
    for begun_at in (now + 600, now - UNRECORDED_S - 600, 0, 2**48 / 1000 - 1):
        assert _give(gateway, new_request_id(begun_at), correct=True).status_code == 404
    for named in ("chatcmpl-nobodys", "b9a2cb0c-5d06-4a3b-8d0d-6a6a6a6a6a6a"):
        assert _give(gateway, named, correct=True).status_code == 404


def test_comments_are_kept_where_texts_are(gateway: GatewayProcess) -> None:
    """Only for requests of a policy that stores texts; the answer says whether."""
    for model, is_kept in (("auto", False), ("auto:keeping", True)):
        request_id = _id(_asked(gateway, model))
        gateway.record(request_id)
        answer = _give(gateway, request_id, correct=False, comment="wrong\0year")
        assert answer.json()["is_comment_kept"] is is_kept
        (outcome,) = _outcomes(gateway, request_id)
        assert outcome["comment"] == ("wrong\N{REPLACEMENT CHARACTER}year" if is_kept else None)


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({}, "score"),
        ({"score": None}, "score"),
        ({"correct": None}, "score"),
        ({"score": 1, "correct": True}, "score"),
        ({"score": True}, "score"),
        ({"score": "1"}, "score"),
        ({"score": -0.01}, "score"),
        ({"score": 1.01}, "score"),
        ({"score": 10**30}, "score"),
        ({"correct": 1}, "correct"),
        ({"correct": "yes"}, "correct"),
        ({"correct": True, "weight": 0}, "weight"),
        ({"correct": True, "weight": 2}, "weight"),
        ({"correct": True, "probability": 0}, "probability"),
        ({"correct": True, "source": None}, "source"),
        ({"correct": True, "source": ""}, "source"),
        ({"correct": True, "source": "x" * 65}, "source"),
        ({"correct": True, "source": "verifier:math"}, "source"),
        ({"correct": True, "source": "ünit"}, "source"),
        ({"correct": True, "source": ".x"}, "source"),
        ({"correct": True, "comment": 1}, "comment"),
        ({"correct": True, "comment": "x" * (MOST_COMMENT + 1)}, "comment"),
        ({"correct": True, "request_id": 1}, "request_id"),
        ({"correct": True, "request_id": ""}, "request_id"),
        ({"correct": True, "request_id": "x" * 513}, "request_id"),
        ({"correct": True, "reason": "x"}, "reason"),
    ],
)
def test_what_is_no_feedback_is_refused(gateway: GatewayProcess, said: dict[str, Any], param: str) -> None:
    """No label at all, one of another type or beyond its bounds, and members that nobody knows."""
    body = {"request_id": new_request_id(time.time()), "source": "user", **said}
    answer = gateway.post("/v1/feedback", content=json.dumps(body))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"source": "a", "source": "b"}'])
def test_a_body_that_is_no_object_is_refused(gateway: GatewayProcess, body: bytes) -> None:
    """It must be one JSON object whose members are named once."""
    assert gateway.post("/v1/feedback", content=body).status_code == 400


def test_feedback_goes_up_to_its_limits(gateway: GatewayProcess) -> None:
    """The longest source and comment are taken, and as many sources as there may be; one more is not."""
    request_id = new_request_id(time.time())
    for number in range(MOST_SOURCES):
        longest = f"{number:064}"
        answer = _give(gateway, request_id, correct=True, source=longest, comment="x" * MOST_COMMENT)
        assert answer.status_code == 202
    refused = _give(gateway, request_id, correct=True, source="more")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert _give(gateway, request_id, correct=False, source="0" * 64).status_code == 202
    assert gateway.post("/v1/feedback", content=b" " * (64 * 1024 + 1)).status_code == 413


def test_a_key_has_its_pace() -> None:
    """So much in a minute and no more, each key by itself, and anew in the next one."""
    clock = TurningClock()
    pace = Pace(clock, most=2)
    for _ in range(2):
        pace.take("a")
    with pytest.raises(RateLimited) as refused:
        pace.take("a")
    pace.take("b")
    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= 60
    clock.turn(refused.value.retry_after_s)
    pace.take("a")
    assert MOST_PER_MINUTE == 1_200
