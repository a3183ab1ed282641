"""Every error the gateway raises on purpose, with its HTTP status and public code.

The tree, on one screen::

    PonderError
    ├── RequestError                  the caller can mend it
    │   ├── InvalidRequest            400 invalid_request
    │   ├── Unauthenticated           401 authentication_failed
    │   ├── BudgetExhausted           402 budget_exhausted
    │   ├── Forbidden                 403 not_allowed
    │   ├── NotFound                  404 not_found
    │   │   └── UnknownModel          404 unknown_model
    │   ├── MethodNotAllowed          405 method_not_allowed
    │   ├── Conflict                  409 conflict
    │   ├── TooLarge                  413 request_too_large
    │   └── RateLimited               429 rate_limited
    ├── UpstreamError                 the model's server failed us
    │   ├── UpstreamRefused           the upstream's own 4xx, passed on
    │   ├── UpstreamRateLimited       429 upstream_rate_limited
    │   ├── UpstreamFailed            502 upstream_failed
    │   │   └── UpstreamDenied        502 upstream_failed: our own credentials, or 501
    │   ├── UpstreamOverloaded        503 upstream_overloaded
    │   └── UpstreamTimedOut          504 upstream_timeout
    ├── Unavailable                   503 unavailable: we cannot serve right now
    ├── DeliveryFailed                a webhook was not told; never reaches a caller
    ├── Unpriced                      a model that has no price; 400 unpriced_model
    └── ConfigurationError            the operator can mend it; never reaches a caller

A message says what was refused and what would be accepted. It never holds a prompt or a
secret. Only ``http/faults.py`` turns these into responses, and
``http/dashboard/entrance.py`` into pages.
"""

from __future__ import annotations

from typing import ClassVar


class PonderError(Exception):
    """Base of all errors below; carries what a response needs."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    page: ClassVar[str] = "docs/troubleshoot.md#error-codes"
    """Where it is told what to do."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.param = param

    @property
    def http_status(self) -> int:
        """The status a response to this error carries."""
        return self.status


class RequestError(PonderError):
    """The request cannot be served as it stands; the caller can mend it."""

    status = 400
    code = "invalid_request"


class InvalidRequest(RequestError):
    """The request's body, headers or parameters are wrong."""


class Unauthenticated(RequestError):
    """No key, or one that we do not know."""

    status = 401
    code = "authentication_failed"
    page = "docs/keys-and-budgets.md#the-first-two-keys"


class BudgetExhausted(RequestError):
    """The money left does not cover what this request may cost; ``account`` and ``period`` name the budget, if one."""

    status = 402
    code = "budget_exhausted"
    page = "docs/keys-and-budgets.md#402-429-and-413"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, account: str | None = None, period: str | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.account = account
        self.period = period


class Forbidden(RequestError):
    """The key is known, and may not do this."""

    status = 403
    code = "not_allowed"
    page = "docs/keys-and-budgets.md#what-a-key-may-ask-for"


class NotFound(RequestError):
    """No such thing, or not visible to this key."""

    status = 404
    code = "not_found"


class UnknownModel(NotFound):
    """The model asked for is not configured; the message lists those that are."""

    code = "unknown_model"
    page = "docs/configure-upstreams.md#modelsname"


class MethodNotAllowed(RequestError):
    """The path exists, and not for this HTTP method; ``accepted`` lists those it takes."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, accepted: str) -> None:
        super().__init__(message)
        self.accepted = accepted


class Conflict(RequestError):
    """What is asked for does not go together with what is there."""

    status = 409
    code = "conflict"


class TooLarge(RequestError):
    """The request exceeds a stated size limit."""

    status = 413
    code = "request_too_large"
    page = "docs/keys-and-budgets.md#402-429-and-413"


class RateLimited(RequestError):
    """A limit of this key or team is reached; ``retry_after_s`` says when to come back."""

    status = 429
    code = "rate_limited"
    page = "docs/keys-and-budgets.md#402-429-and-413"


class UpstreamError(PonderError):
    """The model's server did not give a usable answer.

    ``is_unbilled`` says that the provider certainly charged nothing: it was never reached, or it
    answered with an error status. Anything else may have cost money that nobody counted.
    """

    status = 502
    code = "upstream_failed"
    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_unbilled: bool = False) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.is_unbilled = is_unbilled


class UpstreamRefused(UpstreamError):
    """The upstream refused the request with a 4xx of its own; the same request would fail again.

    ``body`` holds the upstream's answer, to be passed on where dialects match.
    """

    code = "upstream_refused"

    def __init__(self, message: str, *, upstream_status: int, body: bytes = b"") -> None:
        super().__init__(message, is_unbilled=True)
        self.upstream_status = upstream_status
        self.body = body

    @property
    def http_status(self) -> int:
        return self.upstream_status


class UpstreamRateLimited(UpstreamError):
    """The upstream answered 429."""

    status = 429
    code = "upstream_rate_limited"
    is_retryable = True


class UpstreamFailed(UpstreamError):
    """Connection refused or reset, a 5xx, or an answer that is not one."""

    is_retryable = True


class UpstreamDenied(UpstreamFailed):
    """The upstream will not serve us: our credentials, or what it offers. Asking again would not change that."""

    is_retryable = False


class UpstreamOverloaded(UpstreamError):
    """The upstream answered 503 or 529."""

    status = 503
    code = "upstream_overloaded"
    is_retryable = True


class UpstreamTimedOut(UpstreamError):
    """Nothing usable came within the time allowed."""

    status = 504
    code = "upstream_timeout"


class Unavailable(PonderError):
    """The gateway itself cannot serve right now; coming back later can help."""

    status = 503
    code = "unavailable"
    page = "docs/troubleshoot.md#degraded-states"


class DeliveryFailed(PonderError):
    """A webhook's server did not take a message; ``is_final`` says that it wants none."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class Unpriced(PonderError):
    """A model without a price: its cost cannot be held, settled or recorded."""

    status = 400
    code = "unpriced_model"
    page = "docs/configure-upstreams.md#prices"


class ConfigurationError(PonderError):
    """The configuration is wrong; raised at start or reload, never while serving."""

    code = "configuration"
    page = "docs/troubleshoot.md#it-does-not-start"
