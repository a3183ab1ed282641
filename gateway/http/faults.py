"""Errors as responses, in the shape that the caller's dialect has. Nothing else makes them."""

from __future__ import annotations

import logging
import math

from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import Dialect
from gateway.errors import MethodNotAllowed, PonderError, UpstreamRefused
from gateway.http.asgi import ASGIApp, Message, Receive, Scope, Send

# Anthropic's error types by status: https://docs.claude.com/en/api/errors
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# OpenAI's error types by status: https://platform.openai.com/docs/guides/error-codes
_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_SERVER_ERROR = 500
REQUEST_ID = "ponder.request_id"
"""Where the ASGI scope holds the request's id, once it has one."""
_log = logging.getLogger(__name__)


def error_body(error: PonderError, dialect: Dialect, request_id: str) -> bytes:
    """The error's JSON in one dialect's shape, and of ours, ``help``: the page that says what to do."""
    message, param, code = error.message, error.param, error.code
    if isinstance(error, UpstreamRefused) and error.body:
        refusal = loads(error.body)
        if (refusal.get("type") == "error") is (dialect is Dialect.ANTHROPIC_MESSAGES):
            return error.body
        message, param, code = _words(refusal.get("error"), error)
    status = error.http_status
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= _SERVER_ERROR else "invalid_request_error")
        told = {"type": kind, "message": message, "help": error.page}
        return dumps({"type": "error", "error": told, "request_id": request_id})
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= _SERVER_ERROR else "invalid_request_error")
    return dumps({"error": {"message": message, "type": kind, "param": param, "code": code, "help": error.page}})


def _words(detail: object, error: UpstreamRefused) -> tuple[str, str | None, str]:
    """Message, parameter and code of a refusal in another dialect; our own where it has none."""
    if not isinstance(detail, dict) or not isinstance(detail.get("message"), str):
        return error.message, error.param, error.code
    param, code = detail.get("param"), detail.get("code")
    return (
        detail["message"],
        param if isinstance(param, str) else error.param,
        code if isinstance(code, str) else error.code,
    )


def dialect_of(path: str) -> Dialect:
    """The dialect whose error shape the callers of ``path`` expect."""
    return Dialect.ANTHROPIC_MESSAGES if path.startswith("/v1/messages") else Dialect.OPENAI_CHAT


class LastResort:
    """The outermost ASGI layer: a fault of ours becomes a 500 in the caller's dialect, and a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; answer 500 if nothing was sent yet, else let the connection break."""
        has_begun = False

        async def watched_send(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except Exception:
            _log.exception("request %s failed by a fault of the gateway", scope.get(REQUEST_ID, "-"))
            if has_begun or scope["type"] != "http":
                raise
            fault = PonderError("the gateway failed to serve this request; the operator finds the cause in its log")
            status, headers, body = error_response(fault, dialect_of(scope["path"]), scope.get(REQUEST_ID, "-"))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def error_response(
    error: PonderError, dialect: Dialect, request_id: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error."""
    body = error_body(error, dialect, request_id)
    identity = request_id.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-ponder-request-id", identity),
        (b"x-request-id", identity),
        (b"request-id", identity),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.accepted.encode("ascii")))
    if error.http_status == 401:  # noqa: PLR2004  the one status that demands this header (RFC 9110, 11.6.1)
        headers.append((b"www-authenticate", b"Bearer"))
    return error.http_status, headers, body
