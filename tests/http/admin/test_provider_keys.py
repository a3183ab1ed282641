"""Stored provider keys over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.http.admin.administrator import Administrator, fresh

SECRET = "sk-canary-0123456789abcdefghij"


def test_a_key_is_stored_listed_and_removed(admin: Administrator, home: Path) -> None:
    """The answer tells version, fingerprint and last characters, never the key; removing is told once, then 404."""
    name = fresh("upstream")
    stored = admin.done("PUT", f"/provider-keys/{name}", {"key": SECRET})
    assert stored.keys() == {"upstream", "version", "fingerprint", "hint", "set_at"}
    assert (stored["upstream"], stored["hint"]) == (name, "…ghij")
    assert stored in admin.get("/provider-keys")["data"]
    assert (home / "encryption.key").stat().st_mode & 0o777 == 0o600
    replaced = admin.done("PUT", f"/provider-keys/{name}", {"key": SECRET})
    assert replaced["version"] > stored["version"]
    assert replaced["fingerprint"] == stored["fingerprint"]
    assert admin.done("DELETE", f"/provider-keys/{name}") == replaced
    assert admin.ask("DELETE", f"/provider-keys/{name}").status_code == 404
    entries = admin.get("/audit", target=f"upstream:{name}")["data"]
    assert [entry["action"] for entry in entries] == ["provider_key.remove", "provider_key.set", "provider_key.set"]
    assert SECRET[-4:] not in str(entries)


@pytest.mark.parametrize(
    "body",
    [
        {"key": ""},
        {"key": f"{SECRET}\r\nx: y"},
        {"key": f"{SECRET} "},
        {"key": f"{SECRET}é"},
        {"key": SECRET * 200},
        {"key": [SECRET]},
        {"secret": SECRET},
        {"key": SECRET, "version": 1},
        SECRET,
    ],
    ids=["empty", "line break", "space", "not ASCII", "too long", "a list", "misspelt", "surplus", "not an object"],
)
def test_what_is_no_key_is_refused_and_not_repeated(admin: Administrator, body: Any) -> None:
    """A key that could not be sent in a header, or a body with other members, is 400 without a piece of it."""
    answer = admin.ask("PUT", "/provider-keys/refused", body)
    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert "refused" not in [key["upstream"] for key in admin.get("/provider-keys")["data"]]
