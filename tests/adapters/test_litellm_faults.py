"""litellm's exceptions, and what the gateway makes of them."""

from __future__ import annotations

import json

import pytest

from gateway.adapters.litellm_faults import MEANINGS, provider_refusal, translated
from gateway.errors import UpstreamDenied, UpstreamError, UpstreamFailed, UpstreamRefused, UpstreamTimedOut


def _stand_in(name: str, *, status: int | None = None, module: str = "litellm.exceptions") -> Exception:
    """An exception of a class with litellm's name, as importing the real ones takes seconds."""
    fault: Exception = type(name, (Exception,), {"__module__": module, "status_code": status})("PROMPT")
    return fault


@pytest.mark.parametrize("name", sorted(MEANINGS))
@pytest.mark.parametrize("was_sent", [True, False])
def test_every_class_becomes_an_upstream_error_without_its_text(name: str, was_sent: bool) -> None:
    """litellm's messages quote prompts, so none of them is kept."""
    error = translated(_stand_in(name, status=418), "up", was_sent=was_sent)
    assert isinstance(error, UpstreamError)
    assert "PROMPT" not in error.message
    assert "PROMPT" not in str(getattr(error, "body", b""))


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("BadRequestError", None, UpstreamRefused),
        ("UnsupportedParamsError", None, UpstreamRefused),
        ("AuthenticationError", None, UpstreamDenied),
        ("APIError", 400, UpstreamRefused),
        ("APIConnectionError", 500, UpstreamFailed),
        ("Timeout", None, UpstreamTimedOut),
    ],
)
def test_before_anything_is_sent_the_class_is_a_verdict_on_the_request(
    name: str, status: int | None, kind: type[UpstreamError]
) -> None:
    """A request that litellm cannot translate is the caller's to mend; a missing key is the operator's."""
    assert type(translated(_stand_in(name, status=status), "up", was_sent=False)) is kind


@pytest.mark.parametrize("name", ["BadRequestError", "UnprocessableEntityError", "RateLimitError", "NotFoundError"])
def test_of_an_answer_that_came_litellms_verdict_is_not_the_callers_fault(name: str) -> None:
    """litellm calls a broken 200 a bad request; the caller did nothing wrong, and it may have cost money."""
    error = translated(_stand_in(name), "up", was_sent=True)
    assert type(error) is UpstreamFailed
    assert not error.is_unbilled


def _wrapped(origin: Exception) -> Exception:
    fault = _stand_in("APIConnectionError", status=500)
    fault.__context__ = origin
    return fault


@pytest.mark.parametrize("origin", [Exception("PROMPT"), TypeError("PROMPT"), KeyError("PROMPT")])
def test_a_request_that_litellm_stumbles_over_is_refused(origin: Exception) -> None:
    """litellm reports its own stumbling as a broken connection; trying again would not help."""
    error = translated(_wrapped(origin), "up", was_sent=False)
    assert isinstance(error, UpstreamRefused)
    assert not error.is_retryable


@pytest.mark.parametrize("origin", [ImportError("PROMPT"), OSError("PROMPT"), RuntimeError("PROMPT")])
def test_what_only_the_operator_can_mend_is_a_failure_that_cost_nothing(origin: Exception) -> None:
    """A missing package or credential is no fault of the caller's."""
    error = translated(_wrapped(origin), "up", was_sent=False)
    assert type(error) is UpstreamFailed
    assert error.is_unbilled
    assert "operator" in error.message


def test_a_fault_that_is_not_litellms_is_a_failure() -> None:
    """What litellm trips over (a KeyError in an odd answer) is an upstream's failure."""
    assert type(translated(KeyError("PROMPT"), "up", was_sent=True)) is UpstreamFailed


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no", "status": "INVALID_ARGUMENT", "code": 400}}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"object": "error", "message": "no", "type": "invalid_request_error"}, "no"),
        ({"error": "no"}, "no"),
        ({"message": {"detail": ["no"]}}, None),
        ("no", None),
    ],
)
def test_a_providers_refusal_is_retold_in_openais_shape(body: object, message: str | None) -> None:
    """Google, Mistral and Cohere each have a shape of their own; what is none of them is left out."""
    error = provider_refusal("up", 400, json.dumps(body).encode(), None)
    assert isinstance(error, UpstreamRefused)
    told = json.loads(error.body)["error"]["message"] if error.body else None
    assert told == message


def test_a_page_of_a_proxy_is_not_passed_on() -> None:
    """HTML is nobody's refusal."""
    error = provider_refusal("up", 404, b"<html>", None)
    assert isinstance(error, UpstreamRefused)
    assert error.body == b""
