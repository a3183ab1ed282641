"""The entrance to ``/dashboard``: who may pass, which forms count, and what every answer tells the browser.

Errors of ours become pages here, as people read them; all other faults are left to
:class:`gateway.http.faults.LastResort`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.errors import Forbidden, InvalidRequest, PonderError
from gateway.flow.house import House
from gateway.http.admin.gate import read_small
from gateway.http.asgi import ASGIApp, Message, Receive, Scope, Send
from gateway.http.dashboard.pages import Pages
from gateway.http.dashboard.visitors import Visitor, Visitors, check_form
from gateway.http.door import ClientGone

VISITOR: Final = "ponder.visitor"
"""Where in the scope the entrance leaves who is there."""
FORM: Final = "ponder.form"
"""Where in the scope the entrance leaves the fields of a form."""
COOKIE: Final = "ponder_session"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a field's name
SIGN_IN: Final = "/dashboard/sign-in"
_STATIC: Final = "/dashboard/static/"
_FIELDS: Final = 64

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: with it, browsers send the origin of our own forms as null.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Entrance:
    """Lets through who has signed in; shows everybody else where to."""

    def __init__(
        self, app: ASGIApp, house: House, visitors: Visitors, pages: Pages, *, on_change: Callable[[], None]
    ) -> None:
        self._app = app
        self._house = house
        self._visitors = visitors
        self._pages = pages
        self._on_change = on_change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = _headers(scope)
        visitor: Visitor | None = None
        try:
            if not scope["path"].startswith(_STATIC):
                visitor = await self._visitor(headers)
                if visitor is None and scope["path"] != SIGN_IN:
                    await _to_sign_in(headers)(scope, receive, guarded)
                    return
            form = await _form(scope, receive, headers)
            if form is not None and visitor is not None:
                check_form(visitor, form.get(FORM_TOKEN, ""))
            await self._app({**scope, VISITOR: visitor, FORM: form or {}}, receive, guarded)
            if form is not None:
                self._on_change()
        except PonderError as error:
            self._house.meter.refusal("/dashboard", error.code)
            await (await self._refusal(error, visitor, headers))(scope, receive, guarded)
        except ClientGone:
            return

    async def _visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        token = session_token(headers)
        return None if token is None else await self._visitors.find(token)

    async def _refusal(self, error: PonderError, visitor: Visitor | None, headers: Mapping[str, str]) -> Response:
        template = "refused_part.html" if "hx-request" in headers else "refused.html"
        page = await self._pages.render(template, error=error, visitor=visitor, here="", title="Refused")
        response = HTMLResponse(page, error.http_status)
        if error.retry_after_s is not None:
            response.headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
        return response


def session_token(headers: Mapping[str, str]) -> str | None:
    """The token that the browser sent along; None for none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def is_secure(scope: Scope) -> bool:
    """Whether the browser came by https: here, or at a proxy before us that says so.

    What a client makes up only ever changes its own cookie.
    """
    return scope["scheme"] == "https" or _headers(scope).get("x-forwarded-proto") == "https"


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _to_sign_in(headers: Mapping[str, str]) -> Response:
    if "hx-request" in headers:  # a part of a page that stands open: the whole page goes
        return Response(status_code=401, headers={"hx-redirect": SIGN_IN})
    return RedirectResponse(SIGN_IN, 303)


async def _form(scope: Scope, receive: Receive, headers: Mapping[str, str]) -> dict[str, str] | None:
    """The fields of a form that one of our own pages sent; None where nothing is changed.

    Raises Forbidden for one from elsewhere, and InvalidRequest for what is no form.
    """
    if scope["method"] in {"GET", "HEAD"}:
        return None
    _check_origin(headers)
    body = await read_small(receive, "/dashboard")
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("a form of the dashboard is sent as application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("the form cannot be read") from None
    return dict(pairs)


def _check_origin(headers: Mapping[str, str]) -> None:
    """Raises Forbidden unless the browser says that one of our own pages sends this.

    Browsers set both headers by themselves. Sec-Fetch-Site comes over https and on one's own machine; else the
    origin must be the host that was called.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        is_ours = site == "same-origin"
    else:
        origin = urlsplit(headers.get("origin", ""))
        is_ours = bool(origin.netloc) and origin.netloc == headers.get("host")
    if not is_ours:
        raise Forbidden("this form was not sent from the dashboard's own page; open the page and send it from there")
