"""Signing in and out: who may, for how long, and that no other page can act for them."""

from __future__ import annotations

import httpx
import pytest

from tests.http.admin.administrator import Administrator
from tests.http.dashboard.browser import Browser
from tests.http.dashboard.conftest import Shown

EVIL = "https://evil.example"


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/keys", "/dashboard/requests/x", "/dashboard/nowhere"])
def test_nothing_is_shown_to_strangers(shown: Shown, path: str) -> None:
    """Without a session every page leads to signing in, and an open page's part sends the whole page there."""
    answer = Browser(shown.process.address).get(path)
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/dashboard/sign-in", "")
    part = httpx.get(shown.process.address + path, headers={"hx-request": "true", "cookie": "ponder_session=x"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/dashboard/sign-in")


def test_the_cookie_is_kept_from_scripts_and_other_sites(shown: Shown) -> None:
    """The session's cookie is HttpOnly, strict, bounded, for the dashboard alone, and Secure where https was used."""
    answer = Browser(shown.process.address).sign_in(shown.secret)
    parts = {each.strip().lower() for each in answer.headers["set-cookie"].split(";")[1:]}
    assert parts == {"httponly", "samesite=strict", "path=/dashboard", "max-age=43200"}
    assert shown.secret not in answer.headers["set-cookie"]
    behind_proxy = Browser(shown.process.address).sign_in(shown.secret, **{"x-forwarded-proto": "https"})
    assert "; secure" in behind_proxy.headers["set-cookie"].lower()


@pytest.mark.parametrize(("secret", "status"), [("", 401), ("sk-ponder-wrong", 401), ("x" * 600, 401)])
def test_wrong_keys_are_refused(shown: Shown, secret: str, status: int) -> None:
    """A key that is not known opens nothing, and the page says so."""
    answer = Browser(shown.process.address).sign_in(secret)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


def test_keys_without_a_role_are_refused(shown: Shown) -> None:
    """A key that calls models opens no dashboard."""
    answer = Browser(shown.process.address).sign_in(shown.process.key)
    assert answer.status_code == 403
    assert "viewer, operator or admin" in answer.text


def test_signing_out_ends_the_session(shown: Shown) -> None:
    """After signing out the same cookie opens nothing, wherever a copy of it lies."""
    browser = shown.visitor()
    cookies = dict(browser.client.cookies)
    assert browser.send("/dashboard/sign-out").status_code == 303
    stolen = httpx.get(f"{shown.process.address}/dashboard", cookies=cookies)
    assert stolen.headers["location"] == "/dashboard/sign-in"


def test_a_session_ends_with_its_secret(shown: Shown, admin: Administrator) -> None:
    """Revoking a key, or rotating it without grace, ends the sessions that were begun with it."""
    key, secret = admin.key(role="viewer")
    browser = shown.visitor(secret)
    assert browser.get("/dashboard/keys").status_code == 200
    fresh = admin.done("POST", f"/keys/{key['id']}/rotate")["secret"]
    assert browser.get("/dashboard/keys").status_code == 303
    browser = shown.visitor(fresh)
    admin.done("POST", f"/keys/{key['id']}/revoke")
    assert browser.get("/dashboard/keys").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": EVIL},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "SELF"},
        {"origin": EVIL, "x-forwarded-host": "evil.example"},
    ],
)
def test_forms_from_elsewhere_are_refused(shown: Shown, headers: dict[str, str]) -> None:
    """A form counts only if the browser says that a page of the dashboard sent it; signing in is one as well."""
    browser = shown.visitor()
    token = browser.form_token()
    told = {name: browser.address if value == "SELF" else value for name, value in headers.items()}
    for path, fields in (
        ("/dashboard/keys", {"name": "intruder", "form_token": token}),
        ("/dashboard/sign-in", {"key": shown.secret}),
    ):
        answer = browser.client.post(path, data=fields, headers=told)
        assert answer.status_code == 403, answer.text
        assert "set-cookie" not in answer.headers
    assert "intruder" not in browser.get("/dashboard/keys").text


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_forms_of_other_sessions_are_refused(shown: Shown, token: str) -> None:
    """A form without this session's token changes nothing."""
    browser = shown.visitor()
    answer = browser.send("/dashboard/keys", name="intruder", form_token=token)
    assert answer.status_code == 403
    of_another = shown.visitor().form_token()
    assert browser.send("/dashboard/keys", name="intruder", form_token=of_another).status_code == 403
    assert "intruder" not in browser.get("/dashboard/keys").text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"key=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 100), "application/x-www-form-urlencoded", 400),
        (b"key=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_what_is_no_form_is_refused(shown: Shown, content: bytes, kind: str, status: int) -> None:
    """A body of another kind, of too many fields, or too large is refused before anybody reads it."""
    browser = Browser(shown.process.address)
    answer = browser.client.post(
        "/dashboard/sign-in", content=content, headers={"origin": browser.address, "content-type": kind}
    )
    assert answer.status_code == status


def test_addresses_are_not_cached_across_methods(shown: Shown) -> None:
    """What changes something takes POST alone."""
    browser = shown.visitor()
    for path in ("/dashboard/sign-out", "/dashboard/policies/default/rollback", "/dashboard/keys/default/revoke"):
        assert browser.get(path).status_code == 405
