"""litellm's exceptions as ours: by class and status, never by their text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.transport import refusal
from gateway.dialects.json_bytes import dumps, loads
from gateway.errors import InvalidRequest, UpstreamError, UpstreamFailed, UpstreamRefused, UpstreamTimedOut

OWN_STATUS = 0
"""The class carries the status of the answer that it stands for."""

TIMED_OUT = -1
BROKEN = -2
"""No answer, or none that can be read."""

MEANINGS: Mapping[str, int] = {
    "APIConnectionError": BROKEN,
    "APIError": OWN_STATUS,
    "APIResponseValidationError": BROKEN,
    "AuthenticationError": 401,
    "BadGatewayError": 502,
    "BadRequestError": 400,
    "BlockedPiiEntityError": 400,
    "BudgetExceededError": BROKEN,
    "ContentPolicyViolationError": 400,
    "ContextWindowExceededError": 400,
    "GuardrailRaisedException": 400,
    "ImageFetchError": 400,
    "InternalServerError": 500,
    "InvalidRequestError": 400,
    "JSONSchemaValidationError": BROKEN,
    "LiteLLMUnknownProvider": BROKEN,
    "MidStreamFallbackError": BROKEN,
    "MockException": BROKEN,
    "ModelNotMappedError": BROKEN,
    "ModifyResponseException": BROKEN,
    "NotFoundError": 404,
    "OpenAIError": BROKEN,
    "PaymentRequiredError": 402,
    "PermissionDeniedError": 403,
    "RateLimitError": 429,
    "RejectedRequestError": 400,
    "SensitiveDataRouteException": BROKEN,
    "ServiceUnavailableError": 503,
    "Timeout": TIMED_OUT,
    "UnprocessableEntityError": 422,
    "UnsupportedParamsError": 400,
    "VectorStoreSearchError": 400,
}
"""Every class of ``litellm.exceptions``: the status it stands for, or one of the names above."""

_MODULE = "litellm.exceptions"
_LEAST_ERROR, _BEYOND_ERRORS = 400, 600
_UNTRANSLATABLE = frozenset({400, 422})


def translated(fault: BaseException, name: str, *, was_sent: bool) -> UpstreamError:
    """The error that stands for a failure inside litellm that no HTTP status explains.

    Of an answer that did arrive, litellm's own verdict (often 400 or 422) says only that it could
    not be read, or that it broke off; before anything was sent, it is a verdict on the request.
    """
    meaning = next((MEANINGS[kind.__name__] for kind in type(fault).__mro__ if kind.__module__ == _MODULE), OWN_STATUS)
    if meaning == TIMED_OUT:
        return UpstreamTimedOut(f"upstream {name} did not answer in time")
    kind = type(fault).__name__
    if was_sent:
        return UpstreamFailed(f"upstream {name} gave litellm no answer that it could read ({kind})")
    status = getattr(fault, "status_code", None) if meaning == OWN_STATUS else meaning
    if status in _UNTRANSLATABLE or (meaning == BROKEN and _is_about_the_request(_origin(fault))):
        return refused(name, InvalidRequest(f"litellm cannot put this request into its provider's form ({kind})"))
    if isinstance(status, int) and _LEAST_ERROR <= status < _BEYOND_ERRORS:
        return refusal(name, status, b"", None)
    return UpstreamFailed(
        f"upstream {name} could not be called through litellm ({type(_origin(fault)).__name__}); the operator should "
        "check that its provider's name is one of litellm's and that the packages it needs are installed",
        is_unbilled=True,
    )


def _origin(fault: BaseException) -> BaseException:
    """What litellm stumbled over first."""
    while (earlier := fault.__cause__ or fault.__context__) is not None:
        fault = earlier
    return fault


def _is_about_the_request(origin: BaseException) -> bool:
    """Whether the request's content made litellm stumble: it does so on values that it did not check."""
    return type(origin) is Exception or isinstance(origin, ValueError | TypeError | LookupError | AttributeError)


def refused(name: str, fault: InvalidRequest) -> UpstreamRefused:
    """A request that this upstream cannot take, in the shape of a provider's own refusal."""
    message = f"upstream {name}: {fault.message}"
    return UpstreamRefused(message, upstream_status=400, body=_error_body(message, param=fault.param))


def provider_refusal(name: str, status: int, body: bytes, retry_after: str | None) -> UpstreamError:
    """The error for a provider's own non-2xx answer; its words go to the caller in openai-chat's shape."""
    return refusal(name, status, _rebuilt(body), retry_after)


def _rebuilt(body: bytes) -> bytes:
    """``{"error": {"message", …}}`` from what Google, Mistral, Cohere or an OpenAI-like server said."""
    try:
        document = loads(body)
    except InvalidRequest:
        return b""
    if isinstance(document, list) and document:
        document = document[0]  # Google wraps the errors of a stream in a list
    if not isinstance(document, dict):
        return b""
    detail = document.get("error", document)
    if isinstance(detail, str):
        return _error_body(detail)
    if not isinstance(detail, dict) or not isinstance(detail.get("message"), str):
        return b""
    code = detail.get("code") if isinstance(detail.get("code"), str) else detail.get("status")
    return _error_body(detail["message"], param=_text(detail.get("param")), code=_text(code))


def _error_body(message: str, *, param: str | None = None, code: str | None = None) -> bytes:
    return dumps({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
